/** A convex function at one place, with its first two derivatives. */
export interface ConvexPoint {
  readonly x: number;
  readonly f: number;
  readonly slope: number;
  readonly curvature: number;
}

export interface ConvexMinimum {
  /** The lowest point seen. */
  readonly point: ConvexPoint;
  readonly converged: boolean;
}

const maxPasses = 100;

/** Relative to `unit`, or to x where that is larger: nobody tells such alphas apart. */
const resolution = 1e-9;

/**
 * Whether a Newton step would gain nothing that single-precision exponentials could show (docs/numerics.md): the gain is
 * half of slope² / curvature, in whatever unit x is.
 */
export function settled({ f, slope, curvature }: Omit<ConvexPoint, 'x'>): boolean {
  return slope === 0 || slope * slope <= 1e-13 * (1 + Math.abs(f)) * curvature;
}

/**
 * The minimum between two points of which the first falls and the second rises. Newton's method while its steps halve;
 * else where the tangents of both sides cross, which finds the bend of a function that is straight but for a small part
 * of a wide domain; and the middle where that did not halve the bracket.
 */
export async function convexMinimum(
  at: (x: number) => Promise<ConvexPoint>,
  falling: ConvexPoint,
  rising: ConvexPoint,
  unit: number,
): Promise<ConvexMinimum> {
  let [low, high] = [falling, rising];
  let best = low.f <= high.f ? low : high;
  let x = crossing(low, high);
  let step = high.x - low.x;
  let width = high.x - low.x;
  for (let pass = 0; pass < maxPasses; pass++) {
    const now = await at(x);
    // Where values are equal to the last bit the slope still tells them apart.
    if (now.f < best.f || (now.f === best.f && Math.abs(now.slope) < Math.abs(best.slope))) best = now;
    if (settled(now)) return { point: now, converged: true };
    if (now.slope < 0) low = now;
    else high = now;
    const near = resolution * Math.max(unit, Math.abs(low.x), Math.abs(high.x));
    if (high.x - low.x <= near) return { point: best, converged: true };
    const newton = now.x - now.slope / now.curvature;
    if (newton > low.x && newton < high.x && Math.abs(newton - now.x) <= step / 2) {
      step = Math.abs(newton - now.x);
      x = newton;
      continue;
    }
    x = high.x - low.x <= width / 2 ? crossing(low, high) : (low.x + high.x) / 2;
    width = high.x - low.x;
    step = width;
  }
  return { point: best, converged: false };
}

/** Where the tangents meet, or the middle where rounding puts that outside. */
function crossing(low: ConvexPoint, high: ConvexPoint): number {
  const width = high.x - low.x;
  const x = low.x + (high.f - low.f - high.slope * width) / (low.slope - high.slope);
  return x > low.x && x < high.x ? x : low.x + width / 2;
}
