/** The nodes in space: a sphere at each representative point, all of them in one draw call, drawn only on change. */

import {
  Box3,
  Box3Helper,
  BufferAttribute,
  BufferGeometry,
  Color,
  LineBasicMaterial,
  LineSegments,
  Scene,
  Vector3,
  WebGLRenderer,
} from "three";

import { isDark, type Rgb } from "../common/palette";
import { axesOf } from "./axes";
import type { Nodes } from "./nodes";
import { Orbit, VIEW_ANGLE } from "./orbit";
import { Portion, spreadOrder } from "./portion";
import { newSpheres, setSpheres } from "./spheres";

const NM_PER_UNIT = 1000;
const CLICK_PX = 5;

/** Whether this browser can draw in three dimensions. */
export function canDraw(): boolean {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

export class View {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly orbit: Orbit;
  private readonly scale = { pixels: { value: 1 }, growth: { value: 1 } };
  private readonly points = newSpheres(this.scale, 3, 0);
  private readonly ring = newSpheres(this.scale, 22, 0.7);
  private readonly axes = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ color: 0x888888 }));
  private readonly bounds = new Box3();
  private readonly frame = new Box3Helper(this.bounds, new Color(0x888888));
  private readonly centre = new Vector3();
  private nodes: Nodes | null = null;
  /** The nodes that are drawn, in an order whose beginning is spread over all. */
  private rows = new Uint32Array(0);
  private isDrawing = false;
  private readonly portion = new Portion(() => this.draw());

  /**
   * @param holder gets the canvas.
   * @param chosen called with the node that is clicked, or -1.
   * @param moved called when the camera has moved.
   */
  constructor(
    private readonly holder: HTMLElement,
    private readonly chosen: (row: number) => void,
    moved: () => void,
  ) {
    this.renderer = new WebGLRenderer({ antialias: true, alpha: true, powerPreference: "high-performance" });
    const canvas = this.renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute(
      "aria-label",
      "Nodes in space. Arrow keys turn, plus and minus come closer and go back, 0 shows all. The table below has the same nodes.",
    );
    holder.prepend(canvas);
    this.axes.frustumCulled = false;
    this.axes.scale.setScalar(1 / NM_PER_UNIT);
    const line = this.frame.material as LineBasicMaterial;
    [line.transparent, line.opacity] = [true, 0.35];
    this.scene.add(this.frame, this.points, this.axes, this.ring);
    this.axes.visible = this.ring.visible = this.frame.visible = false;
    this.orbit = new Orbit(canvas, () => {
      this.portion.moved();
      this.draw();
      moved();
    });
    this.listen(canvas);
    new ResizeObserver(() => this.fitCanvas()).observe(holder);
    this.fitCanvas();
  }

  /** Shows nodes; the camera stays where the reader has placed it. */
  show(nodes: Nodes, tints: Float32Array): void {
    const isOther = nodes !== this.nodes;
    this.nodes = nodes;
    if (isOther) this.orbit.isPlaced = false;
    const found: number[] = [];
    this.bounds.makeEmpty();
    const at = new Vector3();
    for (let row = 0; row < nodes.count; row++) {
      if (Number.isNaN(nodes.pointsNm[3 * row]!)) continue;
      found.push(row);
      this.bounds.expandByPoint(this.placeNm(nodes, row, at));
    }
    if (!this.orbit.isPlaced && found.length) this.bounds.getCenter(this.centre);
    const count = found.length;
    this.rows = spreadOrder(count).map((i) => found[i]!);
    const [places, radii, colours] = [new Float32Array(3 * count), new Float32Array(count), new Float32Array(3 * count)];
    this.rows.forEach((row, i) => {
      this.placeNm(nodes, row, at).sub(this.centre).toArray(places, 3 * i);
      radii[i] = (nodes.measures.max_dt_nm[row] || 1) / NM_PER_UNIT;
      colours.set(tints.subarray(3 * row, 3 * row + 3), 3 * i);
    });
    setSpheres(this.points, places, radii, colours);
    this.bounds.translate(this.centre.clone().negate());
    this.frame.visible = count > 0;
    if (this.axes.visible) this.showAxes(true);
    if (!this.orbit.isPlaced && count) this.fit();
    this.draw();
  }

  private placeNm(nodes: Nodes, row: number, into: Vector3): Vector3 {
    return into.fromArray(nodes.pointsNm, 3 * row).divideScalar(NM_PER_UNIT);
  }

  /** The extent of what is shown, in nm along x, y, z. */
  get extentNm(): [number, number, number] {
    const size = this.bounds.isEmpty() ? new Vector3() : this.bounds.getSize(new Vector3());
    return [size.x * NM_PER_UNIT, size.y * NM_PER_UNIT, size.z * NM_PER_UNIT];
  }

  /** Marks a node with a ring; -1 marks none. */
  select(row: number): void {
    const nodes = this.nodes;
    const isThere = nodes !== null && row >= 0 && !Number.isNaN(nodes.pointsNm[3 * row]!);
    this.ring.visible = isThere;
    if (isThere) {
      const at = this.placeNm(nodes, row, new Vector3()).sub(this.centre);
      const ink = isDark() ? 1 : 0;
      const radius = (1.6 * (nodes.measures.max_dt_nm[row] || 1)) / NM_PER_UNIT;
      const tint = new Float32Array([ink, ink, ink]);
      setSpheres(this.ring, new Float32Array(at.toArray()), new Float32Array([radius]), tint);
    }
    this.draw();
  }

  /** Shows the principal axes, or hides them. */
  showAxes(isShown: boolean): void {
    this.axes.visible = isShown;
    if (isShown && this.nodes) {
      const ends = axesOf(this.nodes, this.centre.clone().multiplyScalar(NM_PER_UNIT));
      this.axes.geometry.dispose();
      this.axes.geometry = new BufferGeometry();
      this.axes.geometry.setAttribute("position", new BufferAttribute(ends, 3));
    }
    this.draw();
  }

  /** Draws spheres so many times as large as they are. */
  grow(times: number): void {
    this.scale.growth.value = times;
    this.draw();
  }

  /** Looks at all of it from the front. */
  fit(): void {
    this.orbit.fit(this.bounds);
    this.draw();
  }

  /** Where the camera is, as text for the address: its place and what it looks at, in nm. */
  get camera6(): string {
    const nm = (at: Vector3): number[] => at.add(this.centre).multiplyScalar(NM_PER_UNIT).toArray();
    return this.orbit.ends
      .flatMap(nm)
      .map((value) => Math.round(value))
      .join(",");
  }

  /** Puts the camera where `camera6` says. */
  set camera6(text: string) {
    const numbers = text.split(",").map(Number);
    if (numbers.length !== 6 || !numbers.every(Number.isFinite)) return;
    const place = (from: number): Vector3 =>
      new Vector3().fromArray(numbers, from).divideScalar(NM_PER_UNIT).sub(this.centre);
    this.orbit.ends = [place(0), place(3)];
    this.draw();
  }

  /** Draws all of it anew: colours of the page have changed. */
  draw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      const count = this.portion.of(this.rows.length);
      this.points.geometry.setDrawRange(0, count);
      this.renderer.domElement.dataset["nodes"] = String(count);
      this.axes.material.color.set(isDark() ? 0xd6dde3 : 0x3a4650);
      this.renderer.render(this.scene, this.orbit.camera);
    });
  }

  private fitCanvas(): void {
    const { clientWidth: width, clientHeight: height } = this.holder;
    if (!width || !height) return;
    const ratio = Math.min(devicePixelRatio, 2);
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height);
    this.orbit.camera.aspect = width / height;
    this.orbit.camera.updateProjectionMatrix();
    this.scale.pixels.value = (height * ratio) / (2 * Math.tan((VIEW_ANGLE * Math.PI) / 360));
    this.draw();
  }

  private listen(canvas: HTMLCanvasElement): void {
    let [downX, downY] = [0, 0];
    canvas.addEventListener("pointerdown", (event) => ([downX, downY] = [event.clientX, event.clientY]));
    canvas.addEventListener("pointerup", (event) => {
      if (Math.hypot(event.clientX - downX, event.clientY - downY) < CLICK_PX) this.chosen(this.nodeAt(event));
    });
    canvas.addEventListener("keydown", (event) => {
      if (this.orbit.pressed(event, () => this.fit())) event.preventDefault();
    });
  }

  /** The node at a place on the screen, the nearest to the reader of those that are drawn there; -1 for none. */
  private nodeAt(event: PointerEvent): number {
    const frame = this.renderer.domElement.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    const places = this.points.geometry.getAttribute("position");
    const radii = this.points.geometry.getAttribute("radius");
    const ratio = this.renderer.getPixelRatio();
    const at = new Vector3();
    let [best, bestDepth] = [-1, Infinity];
    const { camera } = this.orbit;
    camera.updateMatrixWorld();
    for (let i = 0; i < this.rows.length; i++) {
      at.fromBufferAttribute(places, i).applyMatrix4(camera.matrixWorldInverse);
      const depth = -at.z;
      if (depth <= 0 || depth >= bestDepth) continue;
      const size = (this.scale.growth.value * radii.getX(i) * this.scale.pixels.value) / depth / ratio;
      at.applyMatrix4(camera.projectionMatrix);
      const [left, top] = [((at.x + 1) / 2) * frame.width, ((1 - at.y) / 2) * frame.height];
      if (Math.hypot(left - x, top - y) <= Math.max(size, 4)) [best, bestDepth] = [this.rows[i]!, depth];
    }
    return best;
  }
}

/** The colours of nodes, three numbers each. */
export function tintsOf(count: number, colour: (row: number) => Rgb): Float32Array {
  const tints = new Float32Array(3 * count);
  for (let row = 0; row < count; row++) tints.set(colour(row), 3 * row);
  return tints;
}
