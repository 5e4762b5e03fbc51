"use strict";
// Data channels: the SFU gives the ids, both ends negotiate them outside of SCTP.

// By name: {channel, received}.
const channels = {};

function adopt(name, id, options) {
  const channel = connection.createDataChannel(name, { negotiated: true, id, ...options });
  channel.binaryType = "arraybuffer";
  const received = [];
  channel.addEventListener("message", ({ data }) => received.push(typeof data === "string" ? data : data.byteLength));
  channels[name] = { channel, received };
  return new Promise((resolve, reject) => {
    channel.addEventListener("open", () => resolve(id), { once: true });
    channel.addEventListener("close", () => reject(new Error(`${name} has closed`)), { once: true });
  });
}

// The transport for data channels, by an offer of the SFU or of the client; the id of `server-events`.
async function establish({ offerer }) {
  const request = { dataChannel: { location: "remote", dataChannelName: "server-events" } };
  if (offerer === "client") {
    const open = adopt("server-events", 0, {});
    await offer("POST", "datachannels/establish", () => request);
    return open;
  }
  const response = await api("POST", `sessions/${sessionId}/datachannels/establish`, request);
  const open = adopt(response.dataChannel.dataChannelName, response.dataChannel.id, {});
  await answer(response.sessionDescription);
  return open;
}

// Publish or subscribe one channel: an item of the API; its id once it is open.
async function openChannel(item) {
  const { ordered, maxRetransmits, maxPacketLifeTime } = item;
  const response = await api("POST", `sessions/${sessionId}/datachannels/new`, { dataChannels: [item] });
  const [{ id, errorCode, errorDescription }] = response.dataChannels;
  if (errorCode) throw new Error(`${errorCode}: ${errorDescription}`);
  return adopt(item.dataChannelName, id, { ordered, maxRetransmits, maxPacketLifeTime });
}

async function updateChannel(item) {
  const response = await api("PUT", `sessions/${sessionId}/datachannels/update`, { dataChannels: [item] });
  return response.dataChannels[0];
}

async function closeChannel(name) {
  const { id } = channels[name].channel;
  return (await api("PUT", `sessions/${sessionId}/datachannels/close`, { dataChannels: [{ id }] })).dataChannels[0];
}

// Messages, or numbers for binary messages of so many bytes.
function say({ name, messages }) {
  for (const message of messages) channels[name].channel.send(typeof message === "number" ? new Uint8Array(message) : message);
}

function heard(name) {
  return channels[name].received;
}

function channelState(name) {
  return channels[name].channel.readyState;
}
