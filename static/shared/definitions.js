// Which numbers do figures and pages share? They stand in features/engine/results.py.

/** `short_context`: tokens before and after a chosen one; `dense_above`: share of tokens. */
export const { short_context, dense_above } = JSON.parse(document.getElementById("definitions").textContent);
