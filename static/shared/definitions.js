// What do figures and pages share? It stands in features/engine/results.py and features/engine/text/invisible.py.

/**
 * `short_context`: tokens before and after a chosen one; `dense_above`: share of tokens; `few`: activations below which
 * shares are counts; `invisible`: `{ranges, pictures}` of the characters that cannot be seen.
 */
export const { short_context, dense_above, few, invisible } = JSON.parse(document.getElementById("definitions").textContent);
