/** Asking again and again, never before the answer to the last time has come. */

/** Does work time after time: a pause follows each time, the longer the longer the work took; a hidden page waits. */
export class Poller {
  private controller = new AbortController();
  private wake: (() => void) | null = null;

  /**
   * @param work given a signal that ends it.
   * @param pauseMs at least this long a pause.
   * @param failed told of what went wrong; null once it went well.
   */
  constructor(
    private readonly work: (signal: AbortSignal) => Promise<void>,
    private readonly pauseMs: number,
    private readonly failed: (error: unknown) => void,
  ) {
    void this.run(this.controller.signal);
  }

  /** Has the present pause end. */
  now(): void {
    this.wake?.();
  }

  /** Ends it for good. */
  stop(): void {
    this.controller.abort();
    this.wake?.();
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const start = performance.now();
      try {
        await this.work(signal);
        if (!signal.aborted) this.failed(null);
      } catch (error) {
        if (!signal.aborted) this.failed(error);
      }
      const tookMs = performance.now() - start;
      if (!signal.aborted) await this.pause(Math.max(this.pauseMs, 4 * tookMs));
      if (document.hidden && !signal.aborted) await this.shown();
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        resolve();
      }
      this.wake = done;
    });
  }

  private shown(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      document.addEventListener("visibilitychange", () => resolve(), { once: true });
    });
  }
}
