// A receiver of webhooks that is not ours: npm's `standardwebhooks` checks every request, and Node.js the v1a
// signature, which that library does not know.
//
// Argument: {secret, publicKey} as JSON. Standard output, one JSON on each line: {port}, then for each
// request {id, v1, v1a, headers, body}, where v1 is "ok" or what the library said. Answers 204 or 400.
import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const { secret, publicKey } = JSON.parse(process.argv[2]);
const webhook = new Webhook(secret);
// An Ed25519 key as DER: a fixed beginning, then the 32 bytes.
const key = createPublicKey({
  key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(publicKey.slice(5), 'base64')]),
  format: 'der',
  type: 'spki',
});

function isSigned(headers, body) {
  const signed = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), body]);
  return String(headers['webhook-signature']).split(' ').some((one) => {
    const [version, signature] = one.split(',');
    return version === 'v1a' && verify(null, signed, key, Buffer.from(signature, 'base64'));
  });
}

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  let v1 = 'ok';
  try {
    webhook.verify(body, request.headers);
  } catch (error) {
    v1 = error.message;
  }
  tell({
    id: request.headers['webhook-id'], v1, v1a: isSigned(request.headers, body),
    headers: request.headers, body: body.toString('base64'),
  });
  response.writeHead(v1 === 'ok' ? 204 : 400).end();
});
server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }));
