import { arceeFusion } from './arcee-fusion.js';
import { breadcrumbs, breadcrumbsTies } from './breadcrumbs.js';
import { dareLinear, dareTies } from './dare.js';
import { della, dellaLinear } from './della.js';
import { ema } from './ema.js';
import { fisher } from './fisher.js';
import { karcher } from './karcher.js';
import { linear } from './linear.js';
import { lines } from './lines.js';
import { modelStock } from './model-stock.js';
import { multislerp } from './multislerp.js';
import { nearswap } from './nearswap.js';
import { negation } from './negation.js';
import { nuslerp } from './nuslerp.js';
import { passthrough } from './passthrough.js';
import { ram, ramPlusTl } from './ram.js';
import { regmean } from './regmean.js';
import { sce } from './sce.js';
import { slerp } from './slerp.js';
import type { MethodSpec } from './spec.js';
import { taskArithmetic } from './task-arithmetic.js';
import { ties } from './ties.js';
import { uniformSoup } from './uniform-soup.js';
import { warp } from './warp.js';
import { wiseFt } from './wise-ft.js';

/** All merge methods, in the order of the documentation: averages, spheres, task vectors, others. */
export const methods: readonly MethodSpec[] = [
  wiseFt,
  linear,
  uniformSoup,
  fisher,
  regmean,
  slerp,
  nuslerp,
  multislerp,
  karcher,
  taskArithmetic,
  ties,
  dareLinear,
  dareTies,
  breadcrumbs,
  breadcrumbsTies,
  della,
  dellaLinear,
  negation,
  lines,
  ema,
  warp,
  modelStock,
  sce,
  ram,
  ramPlusTl,
  nearswap,
  arceeFusion,
  passthrough,
];

const byName: ReadonlyMap<string, MethodSpec> = new Map(methods.map((method) => [method.name, method]));

export function findMethod(name: string): MethodSpec | undefined {
  return byName.get(name);
}
