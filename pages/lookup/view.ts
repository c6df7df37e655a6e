/** The nodes in space: a sphere at each representative point, all of them in one draw call, drawn only on change. */

import {
  Box3,
  Box3Helper,
  BufferAttribute,
  BufferGeometry,
  Color,
  LineBasicMaterial,
  LineSegments,
  PerspectiveCamera,
  Points,
  Scene,
  ShaderMaterial,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";

import { isDark, type Rgb } from "../common/palette";
import type { Nodes } from "./nodes";
import { Portion, spreadOrder } from "./portion";

const NM_PER_UNIT = 1000;
const VIEW_ANGLE = 40;
const CLICK_PX = 5;
const TURN = 0.12;

const VERTEX = `
  attribute float radius;
  attribute vec3 tint;
  uniform float pixels;
  uniform float growth;
  uniform float least;
  varying vec3 colour;
  void main() {
    colour = tint;
    vec4 place = modelViewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * place;
    gl_PointSize = clamp(2.0 * growth * radius * pixels / -place.z, least, 400.0);
  }`;

const FRAGMENT = `
  uniform float ring;
  varying vec3 colour;
  void main() {
    vec2 at = 2.0 * gl_PointCoord - 1.0;
    float far = dot(at, at);
    if (far > 1.0 || far < ring) discard;
    float height = sqrt(1.0 - far);
    float light = 0.42 + 0.58 * max(0.0, dot(vec3(at.x, -at.y, height), vec3(-0.35, 0.5, 0.79)));
    gl_FragColor = vec4(ring > 0.0 ? colour : colour * light, 1.0);
  }`;

/** Whether this browser can draw in three dimensions. */
export function canDraw(): boolean {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

export class View {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(VIEW_ANGLE, 1, 0.01, 10_000);
  private readonly controls: OrbitControls;
  private readonly uniforms = { pixels: { value: 1 }, growth: { value: 1 }, least: { value: 3 }, ring: { value: 0 } };
  private readonly points: Points<BufferGeometry, ShaderMaterial>;
  private readonly ring: Points<BufferGeometry, ShaderMaterial>;
  private readonly axes: LineSegments<BufferGeometry, LineBasicMaterial>;
  private readonly bounds = new Box3();
  private readonly frame = new Box3Helper(this.bounds, new Color(0x888888));
  private readonly centre = new Vector3();
  private nodes: Nodes | null = null;
  /** The nodes that are drawn, in an order whose beginning is spread over all. */
  private rows = new Uint32Array(0);
  private isDrawing = false;
  /** Whether the reader, or the address, has placed the camera; else it shows all that has arrived. */
  private isPlaced = false;
  private readonly portion = new Portion(() => this.draw());

  /**
   * @param holder gets the canvas.
   * @param chosen called with the node that is clicked, or -1.
   * @param moved called when the camera has moved.
   */
  constructor(
    private readonly holder: HTMLElement,
    private readonly chosen: (row: number) => void,
    private readonly moved: () => void,
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
    const material = (ring: number, least: number): ShaderMaterial =>
      new ShaderMaterial({
        uniforms: { ...this.uniforms, ring: { value: ring }, least: { value: least } },
        vertexShader: VERTEX,
        fragmentShader: FRAGMENT,
        depthTest: ring === 0,
      });
    this.points = new Points(new BufferGeometry(), material(0, 3));
    this.ring = new Points(new BufferGeometry(), material(0.7, 22));
    this.axes = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ color: 0x888888 }));
    for (const object of [this.points, this.ring, this.axes]) object.frustumCulled = false;
    (this.frame.material as LineBasicMaterial).transparent = true;
    (this.frame.material as LineBasicMaterial).opacity = 0.35;
    this.scene.add(this.frame, this.points, this.axes, this.ring);
    this.axes.visible = this.ring.visible = this.frame.visible = false;
    // as neuroglancer has it: x to the right, y down, z away from the reader
    this.camera.up.set(0, -1, 0);
    this.camera.position.set(0, 0, -10);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("start", () => (this.isPlaced = true));
    this.controls.addEventListener("change", () => {
      this.portion.moved();
      this.draw();
      this.moved();
    });
    this.listen(canvas);
    new ResizeObserver(() => this.fitCanvas()).observe(holder);
    this.fitCanvas();
  }

  /** Shows nodes; the camera stays where the reader has placed it. */
  show(nodes: Nodes, tints: Float32Array): void {
    const isOther = nodes !== this.nodes;
    this.nodes = nodes;
    if (isOther) this.isPlaced = false;
    const found: number[] = [];
    this.bounds.makeEmpty();
    const at = new Vector3();
    for (let row = 0; row < nodes.count; row++) {
      if (Number.isNaN(nodes.pointsNm[3 * row]!)) continue;
      found.push(row);
      this.bounds.expandByPoint(this.placeNm(nodes, row, at));
    }
    if (!this.isPlaced && found.length) this.bounds.getCenter(this.centre);
    const count = found.length;
    this.rows = spreadOrder(count).map((i) => found[i]!);
    const [places, radii, colours] = [new Float32Array(3 * count), new Float32Array(count), new Float32Array(3 * count)];
    this.rows.forEach((row, i) => {
      this.placeNm(nodes, row, at).sub(this.centre).toArray(places, 3 * i);
      radii[i] = (nodes.measures.max_dt_nm[row] || 1) / NM_PER_UNIT;
      colours.set(tints.subarray(3 * row, 3 * row + 3), 3 * i);
    });
    this.points.geometry.dispose();
    this.points.geometry = new BufferGeometry();
    this.points.geometry.setAttribute("position", new BufferAttribute(places, 3));
    this.points.geometry.setAttribute("radius", new BufferAttribute(radii, 1));
    this.points.geometry.setAttribute("tint", new BufferAttribute(colours, 3));
    this.bounds.translate(this.centre.clone().negate());
    this.frame.visible = count > 0;
    if (this.axes.visible) this.showAxes(true);
    if (!this.isPlaced && count) this.fit();
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
      this.ring.geometry.dispose();
      this.ring.geometry = new BufferGeometry();
      this.ring.geometry.setAttribute("position", new BufferAttribute(new Float32Array(at.toArray()), 3));
      const radius = (1.6 * (nodes.measures.max_dt_nm[row] || 1)) / NM_PER_UNIT;
      this.ring.geometry.setAttribute("radius", new BufferAttribute(new Float32Array([radius]), 1));
      this.ring.geometry.setAttribute("tint", new BufferAttribute(new Float32Array([ink, ink, ink]), 3));
    }
    this.draw();
  }

  /** Shows the principal axes, or hides them. Their lengths are those of an ellipsoid with the node's volume. */
  showAxes(isShown: boolean): void {
    this.axes.visible = isShown;
    const nodes = this.nodes;
    if (isShown && nodes) {
      const ends: number[] = [];
      for (let row = 0; row < nodes.count; row++) pushAxes(nodes, row, this.centre, ends);
      this.axes.geometry.dispose();
      this.axes.geometry = new BufferGeometry();
      this.axes.geometry.setAttribute("position", new BufferAttribute(new Float32Array(ends), 3));
    }
    this.draw();
  }

  /** Draws spheres so many times as large as they are. */
  grow(times: number): void {
    this.uniforms.growth.value = times;
    this.draw();
  }

  /** Looks at all of it from the front. */
  fit(): void {
    const size = this.bounds.isEmpty() ? new Vector3(1, 1, 1) : this.bounds.getSize(new Vector3());
    const middle = this.bounds.isEmpty() ? new Vector3() : this.bounds.getCenter(new Vector3());
    const half = Math.tan((VIEW_ANGLE * Math.PI) / 360);
    const across = Math.max(size.y, size.x / this.camera.aspect, 0.5);
    const distance = (0.66 * across) / half + size.z / 2;
    this.controls.target.copy(middle);
    this.camera.position.copy(middle).add(new Vector3(0.34, -0.22, -1).normalize().multiplyScalar(distance));
    this.camera.near = distance / 500;
    this.camera.far = distance * 50 + size.length();
    this.camera.updateProjectionMatrix();
    this.controls.update();
    this.draw();
  }

  /** Where the camera is, as text for the address: its place and what it looks at, in nm. */
  get camera6(): string {
    const nm = (at: Vector3): number[] => at.clone().add(this.centre).multiplyScalar(NM_PER_UNIT).toArray();
    return [...nm(this.camera.position), ...nm(this.controls.target)].map((value) => Math.round(value)).join(",");
  }

  /** Puts the camera where `camera6` says. */
  set camera6(text: string) {
    const numbers = text.split(",").map(Number);
    if (numbers.length !== 6 || !numbers.every(Number.isFinite)) return;
    const place = (from: number): Vector3 =>
      new Vector3().fromArray(numbers, from).divideScalar(NM_PER_UNIT).sub(this.centre);
    this.camera.position.copy(place(0));
    this.controls.target.copy(place(3));
    this.isPlaced = true;
    this.controls.update();
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
      this.renderer.render(this.scene, this.camera);
    });
  }

  private fitCanvas(): void {
    const { clientWidth: width, clientHeight: height } = this.holder;
    if (!width || !height) return;
    const ratio = Math.min(devicePixelRatio, 2);
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.uniforms.pixels.value = (height * ratio) / (2 * Math.tan((VIEW_ANGLE * Math.PI) / 360));
    this.draw();
  }

  private listen(canvas: HTMLCanvasElement): void {
    let [downX, downY] = [0, 0];
    canvas.addEventListener("pointerdown", (event) => ([downX, downY] = [event.clientX, event.clientY]));
    canvas.addEventListener("pointerup", (event) => {
      if (Math.hypot(event.clientX - downX, event.clientY - downY) < CLICK_PX) this.chosen(this.nodeAt(event));
    });
    canvas.addEventListener("keydown", (event) => {
      const moves: Record<string, () => void> = {
        ArrowLeft: () => this.turn(-TURN, 0),
        ArrowRight: () => this.turn(TURN, 0),
        ArrowUp: () => this.turn(0, -TURN),
        ArrowDown: () => this.turn(0, TURN),
        "+": () => this.approach(0.85),
        "=": () => this.approach(0.85),
        "-": () => this.approach(1 / 0.85),
        "0": () => this.fit(),
      };
      const move = moves[event.key];
      if (!move || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.isPlaced = event.key !== "0";
      move();
      this.portion.moved();
      this.controls.update();
      this.draw();
      this.moved();
    });
  }

  private turn(sideways: number, upwards: number): void {
    const arm = this.camera.position.clone().sub(this.controls.target);
    arm.applyAxisAngle(this.camera.up, sideways);
    const side = new Vector3().crossVectors(this.camera.up, arm).normalize();
    const turned = arm.clone().applyAxisAngle(side, upwards);
    // never over the pole, where up and down change places
    if (Math.abs(turned.clone().normalize().dot(this.camera.up)) < 0.99) arm.copy(turned);
    this.camera.position.copy(this.controls.target).add(arm);
  }

  private approach(factor: number): void {
    const arm = this.camera.position.clone().sub(this.controls.target).multiplyScalar(factor);
    this.camera.position.copy(this.controls.target).add(arm);
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
    this.camera.updateMatrixWorld();
    for (let i = 0; i < this.rows.length; i++) {
      at.fromBufferAttribute(places, i).applyMatrix4(this.camera.matrixWorldInverse);
      const depth = -at.z;
      if (depth <= 0 || depth >= bestDepth) continue;
      const size = (this.uniforms.growth.value * radii.getX(i) * this.uniforms.pixels.value) / depth / ratio;
      at.applyMatrix4(this.camera.projectionMatrix);
      const [left, top] = [((at.x + 1) / 2) * frame.width, ((1 - at.y) / 2) * frame.height];
      if (Math.hypot(left - x, top - y) <= Math.max(size, 4)) [best, bestDepth] = [this.rows[i]!, depth];
    }
    return best;
  }

  /** Where a node is on the screen, in pixels from the canvas' corner. */
  screenPlace(row: number): { x: number; y: number } | null {
    const nodes = this.nodes;
    if (!nodes || Number.isNaN(nodes.pointsNm[3 * row]!)) return null;
    this.camera.updateMatrixWorld();
    const at = this.placeNm(nodes, row, new Vector3()).sub(this.centre).project(this.camera);
    const { clientWidth, clientHeight } = this.renderer.domElement;
    return { x: ((at.x + 1) / 2) * clientWidth, y: ((1 - at.y) / 2) * clientHeight };
  }
}

function pushAxes(nodes: Nodes, row: number, centre: Vector3, ends: number[]): void {
  const spreads = nodes.spreadsNm.subarray(3 * row, 3 * row + 3);
  const product = spreads[0]! * spreads[1]! * spreads[2]!;
  if (!(product > 0) || Number.isNaN(nodes.pointsNm[3 * row]!)) return;
  const scale = Math.cbrt((3 * nodes.measures.size_nm3[row]!) / (4 * Math.PI * product));
  for (let axis = 0; axis < 3; axis++) {
    for (const sign of [-1, 1]) {
      for (let side = 0; side < 3; side++) {
        const along = nodes.axes[9 * row + 3 * axis + side]! * spreads[axis]! * scale * sign;
        ends.push((nodes.pointsNm[3 * row + side]! + along) / NM_PER_UNIT - centre.getComponent(side));
      }
    }
  }
}

/** The colours of nodes, three numbers each. */
export function tintsOf(count: number, colour: (row: number) => Rgb): Float32Array {
  const tints = new Float32Array(3 * count);
  for (let row = 0; row < count; row++) tints.set(colour(row), 3 * row);
  return tints;
}
