/** Fields of an operation as a form. */

import { el } from "../common/dom";
import type { Field, Value, Values } from "./api";

/** A field's input, and its value: undefined if it is left as it is. */
export interface Input {
  element: HTMLElement;
  value(): Value | undefined;
  set(value: Value): void;
}

/**
 * @param field what is asked for.
 * @param forms how values of each kind are written.
 * @param changed called when the reader changes it.
 */
export function inputOf(field: Field, forms: Record<string, string>, changed: () => void): Input {
  if (field.kind === "flag") return flagInput(field, changed);
  if (field.kind === "choice") return choiceInput(field, changed);
  return textInput(field, forms, changed);
}

function title(field: Field): string {
  const words = field.name.replaceAll("_", " ");
  return words[0]!.toUpperCase() + words.slice(1);
}

function flagInput(field: Field, changed: () => void): Input {
  const box = el("input", { type: "checkbox", ...named(field), change: changed });
  box.checked = field.default === true;
  return {
    element: el(
      "div",
      { class: "flag" },
      box,
      el("div", {}, el("label", { for: box.id }, title(field)), helpOf(field, field.help)),
    ),
    value: () => (box.checked === (field.default === true) ? undefined : box.checked),
    set: (value) => (box.checked = value === true),
  };
}

function choiceInput(field: Field, changed: () => void): Input {
  const options = (field.choices ?? []).map((choice) => el("option", {}, choice));
  const select = el("select", { ...named(field), change: changed }, ...options);
  select.value = String(field.default);
  return {
    element: labelled(field, select, field.help),
    value: () => (select.value === field.default ? undefined : select.value),
    set: (value) => (select.value = String(value)),
  };
}

function textInput(field: Field, forms: Record<string, string>, changed: () => void): Input {
  const hints: Partial<Record<Field["kind"], string>> = { moment: "now", box: "x,y,z:x,y,z" };
  const isNumber = field.kind === "whole";
  const bounds = isNumber ? { type: "number", min: field.least, max: field.most } : { type: "text" };
  const input = el("input", {
    ...bounds, ...named(field), placeholder: hints[field.kind], spellcheck: "false", input: changed,
  });
  if (field.default !== undefined) input.value = String(field.default);
  const help = field.kind === "moment" ? `${field.help} Written as ${forms["moment"]}.` : field.help;
  return {
    element: labelled(field, input, help),
    value: () => {
      const text = input.value.trim();
      if (text === "" || text === String(field.default ?? "")) return undefined;
      if (isNumber) return Number(text);
      return field.kind === "box" ? corners(text) : text;
    },
    set: (value) => (input.value = String(value)),
  };
}

function labelled(field: Field, control: HTMLElement, help: string): HTMLElement {
  return el("div", { class: "field" }, el("label", { for: control.id }, title(field)), control, helpOf(field, help));
}

/** What ties an input to its label and its explanation; there is one form at a time. */
function named(field: Field): Record<"id" | "name" | "aria-describedby", string> {
  return { id: `field-${field.name}`, name: field.name, "aria-describedby": `help-${field.name}` };
}

function helpOf(field: Field, help: string): HTMLElement {
  return el("small", { id: `help-${field.name}` }, help);
}

/** A box as JSON has it; text that is none stays as it is, for the function to refuse by its own words. */
function corners(text: string): Value {
  const parts = text.split(":").map((corner) => corner.split(",").map((number) => Number(number.trim() || "NaN")));
  const isBox = parts.length === 2 && parts.every((corner) => corner.length === 3 && corner.every(Number.isFinite));
  return isBox ? parts : text;
}

/** The values of inputs that were changed. */
export function valuesOf(inputs: Map<string, Input>): Values {
  const values: Values = {};
  for (const [name, input] of inputs) {
    const value = input.value();
    if (value !== undefined) values[name] = value;
  }
  return values;
}
