/** Partitions of a cross-validation, and replicates of a bootstrap: more would tell no more, and fill the memory. */
export const maxRepeats = 1000;
export const maxReplicates = 100_000;
