/** Where the reader looks from: by mouse, touch and keys around a point, or as an address says. */

import { type Box3, PerspectiveCamera, Vector3 } from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";

export const VIEW_ANGLE = 40;
const TURN = 0.12;
const NEARER = 0.85;

export class Orbit {
  readonly camera = new PerspectiveCamera(VIEW_ANGLE, 1, 0.01, 10_000);
  private readonly controls: OrbitControls;
  /** Whether the reader, or the address, has placed the camera; else it shows all that has arrived. */
  isPlaced = false;

  /**
   * @param canvas where mouse and keys are heard.
   * @param moved called when the camera has moved.
   */
  constructor(
    canvas: HTMLCanvasElement,
    moved: () => void,
  ) {
    // as neuroglancer has it: x to the right, y down, z away from the reader
    this.camera.up.set(0, -1, 0);
    this.camera.position.set(0, 0, -10);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("start", () => (this.isPlaced = true));
    this.controls.addEventListener("change", moved);
  }

  /** Does what a key says; returns whether it is one that moves.
   *
   * @param fit called for the key that shows all.
   */
  pressed(event: KeyboardEvent, fit: () => void): boolean {
    const moves: Record<string, () => void> = {
      ArrowLeft: () => this.turn(-TURN, 0),
      ArrowRight: () => this.turn(TURN, 0),
      ArrowUp: () => this.turn(0, -TURN),
      ArrowDown: () => this.turn(0, TURN),
      "+": () => this.approach(NEARER),
      "=": () => this.approach(NEARER),
      "-": () => this.approach(1 / NEARER),
      "0": fit,
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey) return false;
    this.isPlaced = event.key !== "0";
    move();
    this.controls.update();
    return true;
  }

  /** Looks at all of a box from the front. */
  fit(bounds: Box3): void {
    const size = bounds.isEmpty() ? new Vector3(1, 1, 1) : bounds.getSize(new Vector3());
    const middle = bounds.isEmpty() ? new Vector3() : bounds.getCenter(new Vector3());
    const half = Math.tan((VIEW_ANGLE * Math.PI) / 360);
    const across = Math.max(size.y, size.x / this.camera.aspect, 0.5);
    const distance = (0.66 * across) / half + size.z / 2;
    this.controls.target.copy(middle);
    this.camera.position.copy(middle).add(new Vector3(0.34, -0.22, -1).normalize().multiplyScalar(distance));
    this.camera.near = distance / 500;
    this.camera.far = distance * 50 + size.length();
    this.camera.updateProjectionMatrix();
    this.controls.update();
  }

  /** The camera's place and what it looks at. */
  get ends(): [Vector3, Vector3] {
    return [this.camera.position.clone(), this.controls.target.clone()];
  }

  set ends([position, target]: [Vector3, Vector3]) {
    this.camera.position.copy(position);
    this.controls.target.copy(target);
    this.isPlaced = true;
    this.controls.update();
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
}
