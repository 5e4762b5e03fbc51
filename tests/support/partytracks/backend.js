// The server half of an application on partytracks, on Node instead of Workers. Bundled by esbuild.
// Serves the files beside it, and everything below /partytracks/ through the library. Prints its port.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { webcrypto } from "node:crypto";
import { basename, extname, join } from "node:path";
import { Readable } from "node:stream";
import { routePartyTracksRequest } from "partytracks/server";

const FOLDER = process.argv[2];
const TYPES = { ".html": "text/html", ".js": "text/javascript" };
// Of this connection, not of the request.
const HOP_BY_HOP = ["connection", "host", "keep-alive", "transfer-encoding"];

globalThis.crypto ??= webcrypto;
// Node wants to be told what Workers take for granted of a streamed body.
const nodeFetch = globalThis.fetch;
globalThis.fetch = (input, init) => nodeFetch(input, { duplex: "half", ...init });

async function proxied(incoming) {
  const headers = new Headers(incoming.headers);
  for (const name of HOP_BY_HOP) headers.delete(name);
  const hasBody = Number(incoming.headers["content-length"] ?? 0) > 0;
  return routePartyTracksRequest({
    appId: process.env.APP_ID,
    token: process.env.APP_TOKEN,
    turnServerAppId: process.env.TURN_SERVER_APP_ID,
    turnServerAppToken: process.env.TURN_SERVER_APP_TOKEN,
    realtimeApiBaseUrl: process.env.API_BASE,
    request: new Request(`http://${incoming.headers.host}${incoming.url}`, {
      method: incoming.method,
      headers,
      body: hasBody ? Readable.toWeb(incoming) : undefined,
      duplex: "half",
    }),
  });
}

async function file(path) {
  const name = basename(path) || "index.html";
  return new Response(await readFile(join(FOLDER, name)), { headers: { "Content-Type": TYPES[extname(name)] } });
}

const server = createServer(async (incoming, outgoing) => {
  try {
    const answer = await (incoming.url.startsWith("/partytracks/") ? proxied(incoming) : file(incoming.url));
    const headers = [...answer.headers].filter(([name]) => !["content-length", "content-encoding", ...HOP_BY_HOP].includes(name));
    outgoing.writeHead(answer.status, headers.flat());
    outgoing.end(Buffer.from(await answer.arrayBuffer()));
  } catch (error) {
    console.error(incoming.method, incoming.url, error);
    outgoing.writeHead(500).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
