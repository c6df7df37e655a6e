/** The terminal command that does the same as the page. */

import { asQuery, type Operation, type Values } from "./api";

const USUAL_ADDRESS = "http://localhost:8082";

/** An operation with values as a command that can be copied. */
export function commandOf(operation: Operation, values: Values): string {
  const words = ["l2cache"];
  if (location.origin !== USUAL_ADDRESS) words.push("--url", location.origin);
  words.push(operation.name);
  const given = operation.fields.filter((field) => values[field.name] !== undefined);
  for (const field of given.filter((one) => one.required)) words.push(asQuery(values[field.name]!));
  for (const field of given.filter((one) => !one.required)) {
    const option = `--${field.name.replaceAll("_", "-")}`;
    const value = values[field.name]!;
    if (value === true) words.push(option);
    else if (value === false) words.push(...(field.default === true ? [option.replace("--", "--no-")] : []));
    else words.push(option, asQuery(value));
  }
  return words.map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
