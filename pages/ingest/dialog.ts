/** Asking before anything is done: what it will do, what it will cost, and the terminal command that does the same. */

import { announce, copyText, el } from "../common/dom";
import { duration, many, whole } from "../common/format";
import { change, read, type Operation, type Operations, type Plan, type Values } from "./api";
import { commandOf } from "./command";
import { inputOf, valuesOf, type Input } from "./form";
import { bytes, dollars } from "./words";

/** Something that can be done.
 *
 * `values` are given and not asked for, `preset` is filled in. `hidden` fields are not asked for.
 */
export interface Action {
  label: string;
  operation: Operation;
  text: string;
  values: Values;
  preset?: Values;
  hidden?: string[];
  isGrave?: boolean;
}

type Answer = { run_id?: string; state?: string };

/** The operation that tells what another one would take: `plan` of `start`, `plan_x` of `x`. */
function planOf(all: Operations, operation: Operation): Operation | undefined {
  const name = operation.name === "start" ? "plan" : `plan_${operation.name}`;
  return all.operations.find((one) => one.name === name);
}

/**
 * Asks in a dialog; nothing is done before the reader confirms it.
 *
 * @param all operations.
 * @param action what is to be done.
 * @param done called with the answer.
 */
export function ask(all: Operations, action: Action, done: (answer: Answer) => void): void {
  new ActionDialog(all, action, done).open();
}

class ActionDialog {
  private readonly inputs = new Map<string, Input>();
  private readonly plan: Operation | undefined;
  private readonly dialog: HTMLDialogElement;
  private readonly command = el("code", { class: "command mono" });
  private readonly trouble = el("p", { class: "trouble", role: "alert", hidden: true });
  private readonly cost = el("div", { class: "cost", "aria-live": "polite" });
  private readonly confirm: HTMLButtonElement;
  private readonly planner: HTMLButtonElement | null;
  private isPlanned = false;

  constructor(
    private readonly all: Operations,
    private readonly action: Action,
    private readonly done: (answer: Answer) => void,
  ) {
    const hidden = new Set([...Object.keys(action.values), ...(action.hidden ?? [])]);
    const asked = action.operation.fields.filter((field) => !hidden.has(field.name));
    this.plan = asked.length ? planOf(all, action.operation) : undefined;
    const onlyPlan = (this.plan?.fields ?? []).filter(
      (field) => !action.operation.fields.some((one) => one.name === field.name),
    );
    for (const field of [...asked, ...onlyPlan]) this.inputs.set(field.name, this.input(field));
    this.confirm = el("button", { type: "submit", class: action.isGrave ? "danger" : "primary" }, this.title());
    this.planner = this.plan ? el("button", { type: "button", click: () => void this.showPlan() }, "Show what it costs") : null;
    this.dialog = this.build();
    this.update();
  }

  open(): void {
    document.body.append(this.dialog);
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.dialog.showModal();
  }

  /** What is to be done, without the dots that say that it is asked about. */
  private title(): string {
    return this.action.label.replace(/…$/, "");
  }

  private input(field: Operation["fields"][number]): Input {
    const input = inputOf(field, this.all.forms, () => {
      this.isPlanned = false;
      this.cost.replaceChildren();
      this.update();
    });
    const preset = this.action.preset?.[field.name];
    if (preset !== undefined) input.set(preset);
    return input;
  }

  private build(): HTMLDialogElement {
    const copy = el("button", { type: "button", class: "quiet" }, "Copy");
    copy.addEventListener("click", () => void copyText(this.command.textContent ?? "", copy));
    const cancel = el("button", { type: "button", click: () => this.dialog.close() }, "Do nothing");
    const submit = (event: Event): void => {
      event.preventDefault();
      if (!this.confirm.disabled) void this.perform();
    };
    return el(
      "dialog",
      { "aria-labelledby": "dialog-title" },
      el(
        "form",
        { submit },
        el("h2", { id: "dialog-title" }, this.title()),
        el("p", {}, this.action.text),
        el("dl", { class: "given" }, ...Object.entries(this.action.values).flatMap(given)),
        el("div", { class: "fields" }, ...[...this.inputs.values()].map((input) => input.element)),
        this.cost,
        el("p", { class: "soft same" }, "The same in a terminal:"),
        el("div", { class: "command-line" }, this.command, copy),
        this.trouble,
        el("div", { class: "buttons" }, cancel, el("span", { class: "grow" }), this.planner, this.confirm),
      ),
    );
  }

  private values(operation: Operation): Values {
    const all: Values = { ...this.action.values, ...valuesOf(this.inputs) };
    const names = new Set(operation.fields.map((field) => field.name));
    return Object.fromEntries(Object.entries(all).filter(([name]) => names.has(name)));
  }

  private update(): void {
    this.command.textContent = commandOf(this.action.operation, this.values(this.action.operation));
    this.confirm.disabled = Boolean(this.plan) && !this.isPlanned;
    this.confirm.classList.toggle("primary", !this.action.isGrave && !this.confirm.disabled);
    this.planner?.classList.toggle("primary", !this.isPlanned);
  }

  private async showPlan(): Promise<void> {
    await this.trying(async () => {
      const plan = await read<Plan>(this.plan!.name, this.values(this.plan!));
      this.cost.replaceChildren(planView(plan));
      // What is started is what was planned, at the same moment of the graph.
      this.inputs.get("timestamp")?.set(plan.timestamp);
      this.isPlanned = true;
    });
    this.update();
    if (this.isPlanned) this.confirm.focus();
  }

  private async perform(): Promise<void> {
    await this.trying(async () => {
      const answer = await change<Answer>(this.action.operation.name, this.values(this.action.operation));
      this.dialog.close();
      announce(`${this.title()}: done`);
      this.done(answer);
    });
    this.update();
  }

  /** Does something; meanwhile no button works, and what goes wrong is told in the dialog. */
  private async trying(work: () => Promise<void>): Promise<void> {
    this.trouble.hidden = true;
    this.confirm.disabled = true;
    if (this.planner) this.planner.disabled = true;
    try {
      await work();
    } catch (error) {
      this.trouble.textContent = error instanceof Error ? error.message : String(error);
      this.trouble.hidden = false;
    } finally {
      if (this.planner) this.planner.disabled = false;
    }
  }
}

function given([name, value]: [string, Values[string]]): Node[] {
  if (typeof value === "boolean") return [];
  return [el("dt", {}, name), el("dd", { class: "mono" }, String(value))];
}

function planView(plan: Plan): HTMLElement {
  const { total, prices_of, ...parts } = plan.cost_usd;
  const costs = Object.entries(parts).filter(([, value]) => typeof value === "number" && value >= 0.005);
  const tasks = plan.leaf_tasks + plan.expand_tasks.reduce((sum, count) => sum + count, 0);
  const figures: [string, string][] = [
    ["Chunks", whole(plan.total_chunks)],
    ["Tasks", whole(tasks)],
    ["Work", `${duration(plan.core_hours * 3600)} of a core`],
    ["Time", `${duration(plan.wall_hours * 3600)} with ${many(plan.concurrency, "leaf task")} at a time`],
    ["Rows", `about ${whole(plan.rows)}${plan.table_bytes ? `, ${bytes(plan.table_bytes)}` : ""}`],
  ];
  return el(
    "div",
    {},
    el("p", { class: "total" }, dollars(Number(total)), el("small", { class: "soft" }, ` at prices of ${prices_of}`)),
    costs.length > 0 &&
      el("p", { class: "soft" }, costs.map(([name, value]) => `${name.replaceAll("_", " ")} ${dollars(Number(value))}`).join(", ")),
    el("dl", { class: "figures" }, ...figures.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text)))),
    plan.rates && el("p", { class: "soft" }, `Rates: ${plan.rates.origin}.`),
  );
}
