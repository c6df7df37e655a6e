import { byId, el } from "../common/dom";
import { requestJson } from "../common/request";
import { followTheme } from "../common/theme";

followTheme(() => {});
const datasets = await requestJson<Record<string, unknown>>("api/v1/table_mapping");
byId("dataset").append(...Object.keys(datasets).map((name) => el("option", {}, name)));
