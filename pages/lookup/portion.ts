/** How many of the nodes are drawn while the view turns, so that a browser without a graphics card keeps up. */

/** Longer between two pictures, and the next one has fewer nodes. */
const SLOW_MS = 60;
/** Shorter, and the next one has more. */
const FAST_MS = 30;
/** So long after the last move all nodes are drawn. */
const REST_MS = 250;
const LEAST = 2_000;

export class Portion {
  private share = 1;
  private lastMs = 0;
  private restTimer = 0;
  private isMoving = false;

  /** @param rested called when all nodes are to be drawn again. */
  constructor(private readonly rested: () => void) {}

  /** The view has moved; it rests when it has not done so for a while. */
  moved(): void {
    this.isMoving = true;
    clearTimeout(this.restTimer);
    this.restTimer = window.setTimeout(() => {
      this.isMoving = false;
      this.lastMs = 0;
      this.rested();
    }, REST_MS);
  }

  /** How many of `count` nodes the picture has that is drawn now; the pause since the last one tells what is possible. */
  of(count: number): number {
    if (!this.isMoving) return count;
    const now = performance.now();
    // the first picture of a move follows a rest, of which it tells nothing
    const pauseMs = this.lastMs ? now - this.lastMs : FAST_MS;
    this.lastMs = now;
    if (pauseMs > SLOW_MS) this.share /= 2;
    else if (pauseMs < FAST_MS) this.share *= 1.5;
    this.share = Math.min(1, Math.max(this.share, LEAST / Math.max(count, LEAST)));
    return Math.ceil(this.share * count);
  }
}

/** Numbers from 0 to `count` in such an order that the first of them are spread over all. */
export function spreadOrder(count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let seed = 1;
  for (let i = count - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((seed / 4_294_967_296) * (i + 1));
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return order;
}
