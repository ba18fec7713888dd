// A consumer of a queue, to be killed at any moment: leases, works (a line in a file), acknowledges.
//
// Arguments: base URL, queue, file to append to, its name. Variable TOKEN: a token. Each line of the file is the name,
// the event's subject, its sequence and its id.
import { appendFileSync } from 'node:fs';

const [base, queue, file, name] = process.argv.slice(2);

async function post(what, body) {
  const answer = await fetch(`${base}/api/v1/queues/${queue}/${what}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${process.env.TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

for (;;) {
  const lent = await post('lease', { limit: 3, seconds: 2 });
  const until = Date.parse(lent.until);
  for (const { event } of lent.items) {
    // Work that begins after the lease ran out may be somebody else's by now.
    if (Date.now() > until - 500) break;
    appendFileSync(file, `${name} ${event.subjectId} ${event.sequence} ${event.id}\n`);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
    await post('ack', { leaseId: lent.leaseId, eventIds: [event.id] });
  }
  if (lent.items.length === 0) await new Promise((resolve) => setTimeout(resolve, 30));
}
