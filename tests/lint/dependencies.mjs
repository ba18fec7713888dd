// Licences, bans and version floors of the Rust dependencies, as deny.toml states them, without a network and without
// another tool. Pure functions; dependencies.test.mjs applies them to this workspace.

/** Reads the part of deny.toml that is checked here. Not a TOML parser: one entry on a line. */
export function policy(denyToml) {
  const section = (name) => denyToml.split(/^\[/m).find((part) => part.startsWith(`${name}]`)) ?? '';
  const lines = (text) => text.split('\n').map((line) => line.trim()).filter((line) => !line.startsWith('#'));
  const licences = lines(section('licenses'));
  const allowed = new Set(licences.map((line) => /^"([^"]+)",?$/.exec(line)?.[1]).filter(Boolean));
  const exceptions = new Map();
  for (const line of licences) {
    const found = /^\{ crate = "([^"]+)", allow = \["([^"]+)"\] \},?$/.exec(line);
    if (found) exceptions.set(found[1], found[2]);
  }
  const bans = lines(section('bans'))
    .map((line) => /^\{ crate = "([^"@]+)(?:@<([0-9.]+))?", reason = "([^"]+)" \},?$/.exec(line))
    .filter(Boolean)
    .map(([, name, below, reason]) => ({ name, below, reason }));
  if (allowed.size === 0 || bans.length === 0) throw new Error('deny.toml: no licences or no bans found in it');
  return { allowed, exceptions, bans };
}

/** Whether an SPDX expression can be satisfied by allowed licences. `/` is the old way to write OR. */
export function satisfied(expression, allowed) {
  const tokens = expression.replaceAll('/', ' OR ').match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const term = () => {
    if (tokens[at] === '(') {
      at += 1;
      const inner = either();
      if (tokens[at] !== ')') throw new Error(`unbalanced: ${expression}`);
      at += 1;
      return inner;
    }
    let name = tokens[at];
    at += 1;
    if (tokens[at] === 'WITH') {
      name += ` WITH ${tokens[at + 1]}`;
      at += 2;
    }
    return allowed.has(name);
  };
  const both = () => {
    let result = term();
    while (tokens[at] === 'AND') {
      at += 1;
      const next = term();
      result &&= next;
    }
    return result;
  };
  function either() {
    let result = both();
    while (tokens[at] === 'OR') {
      at += 1;
      const next = both();
      result ||= next;
    }
    return result;
  }
  const result = either();
  if (at !== tokens.length) throw new Error(`cannot be read as a licence expression: ${expression}`);
  return result;
}

/** Orders two plain versions: negative when `a` is the older. */
export function compareVersions(a, b) {
  const numbers = (version) => version.split(/[-+]/)[0].split('.').map(Number);
  const [x, y] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i += 1) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The packages in what `cargo tree --prefix none --format '{p}|{l}'` prints. Its graph, unlike that of
 * `cargo metadata`, leaves out optional dependencies that no feature switches on. */
export function packages(tree) {
  const found = new Map();
  for (const line of tree.split('\n')) {
    const parts = /^(\S+) v(\S+)(?: \([^)]*\))*\|([^(]*(?:\([^*)]*\)[^(]*)*)(?:\(\*\))?$/.exec(line.trim());
    if (parts) found.set(`${parts[1]} ${parts[2]}`, { name: parts[1], version: parts[2], license: parts[3].trim() });
    else if (line.trim() !== '') throw new Error(`cargo tree printed ${line}`);
  }
  return [...found.values()];
}

/** Everything wrong, as sentences. */
export function findings(found, { allowed, exceptions, bans }) {
  const wrong = [];
  for (const { name, version, license } of found) {
    const ok = exceptions.has(name) ? new Set([...allowed, exceptions.get(name)]) : allowed;
    if (!license) wrong.push(`${name} ${version} states no licence`);
    else if (!satisfied(license, ok)) wrong.push(`${name} ${version}: licence ${license} is not in deny.toml`);
    for (const ban of bans.filter((candidate) => candidate.name === name)) {
      if (!ban.below) wrong.push(`${name} ${version} is banned: ${ban.reason}`);
      else if (compareVersions(version, ban.below) < 0) {
        wrong.push(`${name} ${version} is older than ${ban.below}: ${ban.reason}`);
      }
    }
  }
  return wrong;
}
