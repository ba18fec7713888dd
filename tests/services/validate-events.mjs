// Holds events to their published JSON Schemas with npm's `ajv`, which nobody here wrote.
// Standard input: {schemas: {type: schema}, events: [event]}. Standard output: what does not fit, as JSON.
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const { schemas, events } = JSON.parse(await new Response(process.stdin).text());
const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
addFormats.default(ajv);
const checks = Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, ajv.compile(schema)]));
const wrong = [];
for (const event of events) {
  const check = checks[event.type];
  if (!check) wrong.push({ event, errors: 'no schema' });
  else if (!check(event)) wrong.push({ event, errors: check.errors });
}
console.log(JSON.stringify(wrong));
