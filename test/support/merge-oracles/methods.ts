// The oracle of every method, by its name in a merge file.
import {
  ema,
  fisher,
  linear,
  lines,
  nearswap,
  negation,
  passthrough,
  uniformSoup,
  wiseFt,
} from './averages.js';
import type { Oracle } from './oracle.js';
import { regmean } from './regression.js';
import { arceeFusion, ram, ramPlusTl, sce } from './selections.js';
import { karcher, modelStock, multislerp, nuslerp, slerp, warp } from './spheres.js';
import { taskVectorOracles } from './task-vectors.js';

export const oracles: Readonly<Record<string, Oracle>> = {
  wise_ft: wiseFt,
  linear,
  uniform_soup: uniformSoup,
  fisher,
  regmean,
  slerp,
  nuslerp,
  multislerp,
  karcher,
  ...taskVectorOracles,
  negation,
  lines,
  ema,
  warp,
  model_stock: modelStock,
  sce,
  ram,
  ramplus_tl: ramPlusTl,
  nearswap,
  arcee_fusion: arceeFusion,
  passthrough,
};
