"use strict";
// What any application does, with nothing but fetch and RTCPeerConnection: one session, its offers and answers.
// The secret would live in a backend.
let app = {};
let connection = null;
let sessionId = null;

// The answer to a call of the API. Throws what a request-level error says; errors of items are the caller's to see.
async function api(method, path, body) {
  const response = await fetch(`${app.base}/apps/${app.id}/${path}`, {
    method,
    headers: { Authorization: `Bearer ${app.secret}` },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok || answer.errorCode) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

async function start(config) {
  app = config;
  connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  ({ sessionId } = await api("POST", "sessions/new"));
  return sessionId;
}

function connected() {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (connection.connectionState === "connected") resolve();
      else if (connection.connectionState === "failed") reject(new Error("connection failed"));
      else return;
      connection.removeEventListener("connectionstatechange", look);
    };
    connection.addEventListener("connectionstatechange", look);
    look();
  });
}

// Offer, and take in the answer. `body` is called once the offer is set, when the transceivers have their mids.
async function offer(method, path, body, options) {
  await connection.setLocalDescription(await connection.createOffer(options));
  const answer = await api(method, `sessions/${sessionId}/${path}`, {
    ...body(),
    sessionDescription: { type: "offer", sdp: connection.localDescription.sdp },
  });
  await connection.setRemoteDescription(answer.sessionDescription);
  return answer;
}

// Answer an offer of the SFU. `prepare` is called between the two.
async function answer(description, prepare) {
  await connection.setRemoteDescription(description);
  if (prepare) await prepare();
  listen();
  await connection.setLocalDescription(await connection.createAnswer());
  await api("PUT", `sessions/${sessionId}/renegotiate`, {
    sessionDescription: { type: "answer", sdp: connection.localDescription.sdp },
  });
}

// New ICE credentials on both sides, by an offer to `renegotiate`.
async function restartIce() {
  await offer("PUT", "renegotiate", () => ({}), { iceRestart: true });
}

// The transport below everything, as the browser's statistics have it.
async function transport() {
  const reports = await connection.getStats();
  const report = [...reports.values()].find((r) => r.type === "transport");
  const pair = reports.get(report.selectedCandidatePairId);
  const local = pair && reports.get(pair.localCandidateId);
  const remote = pair && reports.get(pair.remoteCandidateId);
  return {
    state: connection.connectionState,
    signaling: connection.signalingState,
    dtls: report.dtlsState,
    localUfrag: connection.currentLocalDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1],
    remoteUfrag: connection.currentRemoteDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1],
    localPort: local ? local.port : null,
    remoteAddress: remote ? remote.address : null,
    roundTripTime: pair ? pair.currentRoundTripTime : null,
  };
}
