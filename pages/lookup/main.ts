/** The look-up's page: neurons, their nodes, and what to take away of them. */

import { announce, byId, el } from "../common/dom";
import { many, significant, whole } from "../common/format";
import { readFragment, writeFragment } from "../common/fragment";
import { histogram, type Series } from "../common/histogram";
import { colourOf } from "../common/palette";
import { RequestError } from "../common/request";
import { type Column, VirtualTable } from "../common/table";
import { followTheme } from "../common/theme";
import { cards } from "./cards";
import { type Datasets, readIds } from "./ids";
import { Loading } from "./loading";
import { MEASURES, type Measure, Nodes, SAID } from "./nodes";
import * as service from "./service";
import { countsLine, measured, Stage } from "./stage";
import { NotUnderstood } from "./state";
import { takeaway } from "./takeaway";

const REFRESH_MS = 200;
const ADDRESS_MS = 300;
const KEPT_ADDRESS = "l2cache-address";
/** So many ids an address has room for. */
const MOST_IN_ADDRESS = 300;
const TITLES: Record<Measure, string> = {
  size_nm3: "Volume",
  area_nm2: "Surface",
  max_dt_nm: "Radius",
  mean_dt_nm: "Mean dist.",
};

class LookupPage {
  private readonly form = byId<HTMLFormElement>("ask");
  private readonly dataset = byId<HTMLSelectElement>("dataset");
  private readonly text = byId<HTMLTextAreaElement>("ids");
  private readonly trouble = byId("trouble");
  private readonly stage: Stage;
  private readonly table: VirtualTable;
  private loading: Loading | null = null;
  private datasets: Datasets = {};
  private ids: bigint[] = [];
  private selected = -1;
  private wanted = "";
  private camera = "";
  private refreshTimer = 0;
  private addressTimer = 0;

  constructor() {
    const keep = (): void => this.keepAddress();
    this.stage = new Stage(byId("view"), (row) => this.select(row, "view"), keep);
    this.table = new VirtualTable("Nodes", this.columns(), (row) => this.select(row, "table"), keep);
    byId("nodes").append(this.table.element);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      this.ask();
    });
    this.text.addEventListener("input", () => this.fitText());
    window.addEventListener("hashchange", () => this.restore());
    followTheme(() => this.refresh());
  }

  /** Reads the datasets, and shows what the address tells. */
  async start(): Promise<void> {
    const kept = sessionStorage.getItem(KEPT_ADDRESS);
    sessionStorage.removeItem(KEPT_ADDRESS);
    if (kept && !location.hash) history.replaceState(null, "", kept);
    try {
      this.datasets = await service.datasets();
    } catch (error) {
      this.tell(error);
      return;
    }
    this.dataset.append(...Object.keys(this.datasets).map((name) => el("option", {}, name)));
    this.restore();
  }

  private restore(): void {
    const parts = readFragment();
    const dataset = parts.get("d") ?? "";
    if (dataset in this.datasets) this.dataset.value = dataset;
    else if (dataset) this.tell(new NotUnderstood(`There is no dataset ${dataset} here.`));
    const [sort, wanted] = [parts.get("sort") ?? "", parts.get("node") ?? ""];
    this.table.sortBy(sort.replace(/^-/, ""), sort.startsWith("-"));
    this.stage.choose(parts.get("colour") ?? "", parts.get("axes") ?? "", parts.get("size") ?? "");
    this.wanted = wanted;
    this.camera = parts.get("camera") ?? "";
    const ids = parts.get("ids") ?? "";
    if (!ids) {
      this.render();
      this.text.focus();
      return;
    }
    this.text.value = ids.replaceAll(",", " ");
    this.ask();
  }

  /** Looks up what stands in the field. */
  private ask(): void {
    this.trouble.hidden = true;
    try {
      const asked = readIds(this.text.value, this.datasets);
      if (asked.dataset) this.dataset.value = asked.dataset;
      this.load(asked.ids);
    } catch (error) {
      this.tell(error);
    }
  }

  private load(ids: bigint[]): void {
    this.loading?.abandon();
    this.ids = ids;
    this.selected = -1;
    this.text.value = ids.join(" ");
    this.fitText();
    const loading = new Loading(this.dataset.value, ids, () => this.refreshSoon());
    this.loading = ids.length ? loading : null;
    this.render();
    this.keepAddress();
    if (!ids.length) return;
    document.body.classList.add("is-loading");
    announce(`Looking up ${many(ids.length, "id")}`);
    loading
      .run()
      .then(() => announce(countsLine(loading.nodes)))
      .catch((error: unknown) => {
        if (!loading.isAbandoned) this.tell(error);
      })
      .finally(() => {
        if (loading === this.loading) document.body.classList.remove("is-loading");
        this.refreshSoon();
      });
  }

  private remove(owner: number): void {
    const group = this.loading?.groups[owner];
    const isGone = (id: bigint): boolean => (group?.root === null ? this.isLoose(id) : id === group?.root);
    this.load(this.ids.filter((id) => !isGone(id)));
    this.text.focus();
  }

  private isLoose(id: bigint): boolean {
    return !this.loading?.groups.some(({ root }) => root === id);
  }

  private refreshSoon(): void {
    this.refreshTimer ||= window.setTimeout(() => {
      this.refreshTimer = 0;
      this.refresh();
    }, REFRESH_MS);
  }

  private refresh(): void {
    this.render();
    const nodes = this.loading?.nodes;
    if (!nodes) return;
    if (this.camera && this.stage.view && nodes.rowsIn("cached").length) {
      this.stage.view.camera6 = this.camera;
      this.camera = "";
    }
    if (this.wanted && nodes.count) {
      const row = nodes.ids.findIndex((id) => String(id) === this.wanted);
      this.wanted = "";
      if (row >= 0) this.select(row, "address");
    }
  }

  private render(): void {
    const { loading } = this;
    const nodes = loading?.nodes ?? Nodes.none;
    const groups = loading?.groups ?? [];
    byId("cards").replaceChildren(...(groups.length ? cards(groups, nodes, (owner) => this.remove(owner)) : [this.hint()]));
    byId("counts").textContent = nodes.count ? countsLine(nodes) : "";
    this.table.element.classList.toggle("one-neuron", groups.length < 2);
    this.table.setRows(nodes.count);
    this.table.select(this.selected);
    this.stage.show(nodes, groups.length);
    this.renderSide(nodes);
  }

  private hint(): HTMLElement {
    const said = this.loading
      ? "Asking the graph for the neuron’s nodes …"
      : "Type or paste ids above: neurons’ root ids, L2 ids, or a neuroglancer link. What is not in the cache yet is computed while you look.";
    return el("p", { class: "panel soft hint" }, said);
  }

  private renderSide(nodes: Nodes): void {
    const isThere = nodes.rowsIn("cached").length > 0;
    const [plots, takeaways] = [byId("plots"), byId("takeaway")];
    plots.hidden = takeaways.hidden = !isThere;
    if (!isThere || !this.loading) return;
    const draw = (measure: Measure): HTMLElement[] => [
      el("h3", {}, `${TITLES[measure]} of nodes`),
      histogramOf(measure, nodes, this.loading!.groups.length) as unknown as HTMLElement,
    ];
    plots.replaceChildren(...draw("size_nm3"), ...draw("max_dt_nm"));
    // not while somebody is in it: what is opened there would close
    if (!takeaways.contains(document.activeElement) && !takeaways.querySelector("details[open]")) {
      takeaways.replaceChildren(...takeaway(this.loading, this.datasets, (error) => this.tell(error)));
    }
  }

  private select(row: number, by: "table" | "view" | "address"): void {
    this.selected = row;
    if (by !== "table") this.table.select(row);
    this.stage.select(row);
    const id = this.loading?.nodes.ids[row];
    if (id !== undefined && by === "view") announce(`Node ${id} is chosen in the table`);
    this.keepAddress();
  }

  private keepAddress(): void {
    this.addressTimer ||= window.setTimeout(() => {
      this.addressTimer = 0;
      this.writeAddress();
    }, ADDRESS_MS);
  }

  private writeAddress(): void {
    const { colour, axes, size, camera } = this.stage.choices;
    const sign = this.table.isDescending ? "-" : "";
    const isShort = this.ids.length <= MOST_IN_ADDRESS;
    const node = this.loading?.nodes.ids[this.selected];
    writeFragment({
      d: this.dataset.value,
      ids: isShort ? this.ids.join(",") : "",
      colour,
      axes,
      size,
      sort: this.table.sortKey ? sign + this.table.sortKey : "",
      node: node === undefined ? this.wanted : String(node),
      camera: this.camera || (this.loading?.nodes.rowsIn("cached").length ? camera : ""),
    });
  }

  /** Says what is wrong, and offers the login where that would help. */
  private tell(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.trouble.replaceChildren(text);
    if (error instanceof RequestError && error.loginUrl) {
      const login = error.loginUrl;
      this.trouble.append(" ", el("button", { type: "button", click: () => this.login(login) }, "Log in"));
    }
    this.trouble.hidden = false;
  }

  /** As middle-auth has it for browsers: its login page sends them back here with a token, which becomes a cookie. */
  private login(url: string): void {
    sessionStorage.setItem(KEPT_ADDRESS, location.hash);
    location.assign(`${url}?redirect=${encodeURIComponent(location.origin + location.pathname)}`);
  }

  private fitText(): void {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight + 2, 120)}px`;
  }

  private columns(): Column[] {
    const nodes = (): Nodes => this.loading?.nodes ?? Nodes.none;
    const number = (measure: Measure): Column => ({
      key: measure,
      title: TITLES[measure],
      width: "minmax(5.9rem, 1fr)",
      isNumber: true,
      value: (row) => nodes().measures[measure][row]!,
      shown: (row) => measured(measure, nodes().measures[measure][row]!),
    });
    const place = (side: number): Column => ({
      key: "xyz"[side]!,
      title: `${"xyz"[side]}, nm`,
      width: "minmax(4.6rem, 1fr)",
      isNumber: true,
      value: (row) => nodes().pointsNm[3 * row + side]!,
      shown: (row) => shownPlace(nodes().pointsNm[3 * row + side]!),
    });
    return [
      {
        key: "neuron",
        title: "#",
        width: "2.4rem",
        value: (row) => nodes().owners[row]!,
        shown: (row) => swatch(nodes().owners[row]!),
      },
      { key: "id", title: "L2 id", width: "11.4rem", value: (row) => nodes().ids[row]!, shown: (row) => mono(nodes().ids[row]!) },
      {
        key: "state",
        title: "State",
        width: "minmax(7.4rem, 1fr)",
        value: (row) => nodes().states[row]!,
        shown: (row) => stateOf(nodes(), row),
      },
      ...MEASURES.map(number),
      ...[0, 1, 2].map(place),
    ];
  }
}

function shownPlace(nm: number): string {
  return Number.isNaN(nm) ? "–" : whole(nm);
}

function mono(id: bigint): Node {
  return el("span", { class: "mono" }, String(id));
}

function swatch(owner: number): Node {
  const mark = el("span", { class: "swatch", "aria-label": `neuron ${owner + 1}`, role: "img" });
  mark.style.background = colourOf(owner);
  return mark;
}

function stateOf(nodes: Nodes, row: number): Node {
  const { word, look } = SAID[nodes.state(row)];
  return el("span", { class: `state state-${look}` }, word);
}

function histogramOf(measure: Measure, nodes: Nodes, groups: number): SVGElement {
  const values: number[][] = Array.from({ length: groups }, () => []);
  nodes.measures[measure].forEach((value, row) => value > 0 && values[nodes.owners[row]!]!.push(value));
  const series: Series[] = values.map((own, owner) => ({ values: own, colour: colourOf(owner) }));
  const shown = (value: number): string =>
    measure === "size_nm3" ? `${significant(value / 1e9, 2)} µm³` : `${significant(value, 2)} nm`;
  return histogram(`${TITLES[measure]} of nodes`, series, shown);
}

await new LookupPage().start();
