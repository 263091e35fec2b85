// What do figures and pages share? It stands in features/engine/results.py and features/engine/text/invisible.py.

/**
 * `short_context`: tokens before and after a chosen one; `dense_above`: share of tokens; `invisible`: `{ranges,
 * pictures}` of the characters that cannot be seen.
 */
export const { short_context, dense_above, invisible } = JSON.parse(document.getElementById("definitions").textContent);
