/**
 * The symbols of `using`, which Node before 24 defines in its own realm alone: where the package is loaded into another, as by
 * jest, calls and objects of ours would lack them.
 */
for (const name of ['dispose', 'asyncDispose'] as const) {
  if (!(name in Symbol)) Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) });
}
