/** Spheres that are drawn as points of their size: what the graphics card is told, and how a ring is made of one. */

import { BufferAttribute, BufferGeometry, type IUniform, Points, ShaderMaterial } from "three";

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

/** What all spheres of a view have in common.
 *
 * `pixels`: how large a unit is at the distance of one; `growth`: how many times as large as they are they are drawn.
 */
export interface Scale extends Record<string, IUniform<number>> {
  pixels: IUniform<number>;
  growth: IUniform<number>;
}

export type Spheres = Points<BufferGeometry, ShaderMaterial>;

/**
 * @param least the diameter in pixels under which none is drawn.
 * @param ring from where outwards a sphere is drawn, of its radius: 0 for all of it; rings are in front of everything.
 */
export function newSpheres(scale: Scale, least: number, ring: number): Spheres {
  const material = new ShaderMaterial({
    uniforms: { ...scale, ring: { value: ring }, least: { value: least } },
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    depthTest: ring === 0,
  });
  const spheres = new Points(new BufferGeometry(), material);
  spheres.frustumCulled = false;
  return spheres;
}

/** Puts other spheres in the place of those that are there.
 *
 * @param places three numbers each, in units.
 * @param tints three numbers each.
 */
export function setSpheres(spheres: Spheres, places: Float32Array, radii: Float32Array, tints: Float32Array): void {
  spheres.geometry.dispose();
  spheres.geometry = new BufferGeometry();
  spheres.geometry.setAttribute("position", new BufferAttribute(places, 3));
  spheres.geometry.setAttribute("radius", new BufferAttribute(radii, 1));
  spheres.geometry.setAttribute("tint", new BufferAttribute(tints, 3));
}
