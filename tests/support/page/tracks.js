"use strict";
// Tracks: publish, pull, update, close, mute.

// Milliseconds (performance.now) when each m-section, by mid, was asked for.
const pulledAt = {};

function transceiverOf(mid) {
  return connection.getTransceivers().find((t) => t.mid === mid);
}

// Publish any number of tracks in one call: [{name, kind, constraints, encodings, codec, bidirectional}]; the mids by name.
async function publish({ tracks, iceRestart = false }) {
  const added = [];
  for (const { name, kind, constraints, encodings, codec, bidirectional } of tracks) {
    const transceiver = connection.addTransceiver(await capture(kind, constraints), {
      direction: bidirectional ? "sendrecv" : "sendonly",
      ...(encodings && { sendEncodings: encodings }),
    });
    if (codec) {
      const all = RTCRtpSender.getCapabilities(kind).codecs;
      // Its retransmissions with it, in the browser's order.
      transceiver.setCodecPreferences(all.filter((c) => c.mimeType === codec || c.mimeType === `${kind}/rtx`));
    }
    added.push({ transceiver, name, bidirectional });
  }
  const items = () =>
    added.map(({ transceiver, name, bidirectional }) => ({
      location: "local",
      mid: transceiver.mid,
      trackName: name,
      bidirectionalMediaStream: bidirectional,
    }));
  const answer = await offer("POST", "tracks/new", () => ({ tracks: items() }), { iceRestart });
  for (const item of answer.tracks) if (item.errorCode) throw new Error(JSON.stringify(item));
  await connected();
  return Object.fromEntries(added.map(({ transceiver, name }) => [name, transceiver.mid]));
}

// Publish one track by an offer of the SFU: {name, kind, constraints, bidirectional}; its mid.
async function publishAnswering({ name, kind, constraints, bidirectional }) {
  const response = await api("POST", `sessions/${sessionId}/tracks/new`, {
    tracks: [{ location: "local", trackName: name, kind, bidirectionalMediaStream: bidirectional }],
  });
  const [{ mid, errorCode }] = response.tracks;
  if (errorCode) throw new Error(errorCode);
  const track = await capture(kind, constraints);
  await answer(response.sessionDescription, async () => {
    const transceiver = transceiverOf(mid);
    transceiver.direction = bidirectional ? "sendrecv" : "sendonly";
    await transceiver.sender.replaceTrack(track);
  });
  await connected();
  return mid;
}

// Publish what an offer holds without naming anything: [{kind, constraints}]; the names that the SFU gives, by mid.
async function publishUnnamed(tracks) {
  for (const { kind, constraints } of tracks)
    connection.addTransceiver(await capture(kind, constraints), { direction: "sendonly" });
  const response = await offer("POST", "tracks/new", () => ({ autoDiscover: true }));
  await connected();
  return Object.fromEntries(response.tracks.map(({ mid, trackName }) => [mid, trackName]));
}

// Pull by an offer of one's own: items of the API, each with its kind.
async function pullOffering(items) {
  const added = items.map(({ kind }) => connection.addTransceiver(kind, { direction: "recvonly" }));
  const response = await offer("POST", "tracks/new", () => ({
    tracks: items.map((item, index) => ({ location: "remote", mid: added[index].mid, ...item })),
  }));
  listen();
  await connected();
  return response.tracks;
}

// Pull any number of tracks in one call: items of the API; its items, with errors if there are any.
async function pull(items) {
  const asked = performance.now();
  const response = await api("POST", `sessions/${sessionId}/tracks/new`, {
    tracks: items.map((item) => ({ location: "remote", ...item })),
  });
  for (const { mid } of response.tracks) if (mid) pulledAt[mid] = asked;
  if (response.requiresImmediateRenegotiation) await answer(response.sessionDescription);
  else listen();
  await connected();
  return response.tracks;
}

// Another layer, or another source, for what is pulled already.
async function update(items) {
  const body = { tracks: items.map((item) => ({ location: "remote", ...item })) };
  return (await api("PUT", `sessions/${sessionId}/tracks/update`, body)).tracks;
}

async function close({ mids, force }) {
  const tracks = mids.map((mid) => ({ mid }));
  if (force) return api("PUT", `sessions/${sessionId}/tracks/close`, { tracks, force });
  for (const mid of mids) transceiverOf(mid).stop();
  return offer("PUT", "tracks/close", () => ({ tracks, force }));
}

const muted = {};

// Nothing is sent, nothing is negotiated.
async function mute(mid) {
  const { sender } = transceiverOf(mid);
  muted[mid] = sender.track;
  await sender.replaceTrack(null);
}

async function unmute(mid) {
  await transceiverOf(mid).sender.replaceTrack(muted[mid]);
}

async function reports(type, mid) {
  const all = await connection.getStats();
  return [...all.values()]
    .filter((report) => report.type === type && report.mid === mid)
    .map((report) => ({ ...report, mimeType: report.codecId ? all.get(report.codecId).mimeType : null }));
}

// What the browser has counted of a track that it receives; null before the first packet.
async function inbound(mid) {
  return (await reports("inbound-rtp", mid))[0] ?? null;
}

// The same of what it sends: one report for each encoding.
async function outbound(mid) {
  return reports("outbound-rtp", mid);
}
