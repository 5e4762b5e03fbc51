"use strict";
// What is captured, and what is heard and seen.

const captured = {};

// A track of the browser's fake device, with its own life and shared with no other.
async function capture(kind, constraints) {
  const key = JSON.stringify([kind, constraints]);
  captured[key] ??= navigator.mediaDevices.getUserMedia({ [kind]: constraints }).then((stream) => stream.getTracks()[0]);
  return (await captured[key]).clone();
}

const players = {};

// Play what arrives: browsers decode only what somebody hears or sees.
function listen() {
  for (const { mid, receiver, currentDirection } of connection.getTransceivers()) {
    if (mid === null || currentDirection === "stopped" || players[mid]) continue;
    const { track } = receiver;
    const player = document.createElement(track.kind);
    player.srcObject = new MediaStream([track]);
    player.muted = track.kind === "video";
    player.play().catch(() => {}); // it ends with the track
    players[mid] = { player, firstFrame: null };
    if (track.kind === "video")
      player.requestVideoFrameCallback((now) => {
        players[mid].firstFrame = now;
      });
  }
}

// From the request that pulled it to the first picture, in milliseconds; null while there is none.
function timeToFirstFrame(mid) {
  const { firstFrame } = players[mid];
  return firstFrame === null ? null : firstFrame - pulledAt[mid];
}

const shown = {};

// Note each picture from now on: when it was shown, in milliseconds, and how wide it was.
function watch(mid) {
  const { player } = players[mid];
  shown[mid] = [];
  const note = (now, { width }) => {
    shown[mid].push([now, width]);
    player.requestVideoFrameCallback(note);
  };
  player.requestVideoFrameCallback(note);
}

// Browsers decode Opus in stereo only if their own description says so (RFC 7587 §6.1), which no API makes it do.
function wantStereo() {
  connection.createAnswer = async () => {
    const { type, sdp } = await RTCPeerConnection.prototype.createAnswer.call(connection);
    return { type, sdp: sdp.replaceAll(/^a=fmtp:\d+ .*useinbandfec.*$/gm, "$&;stereo=1") };
  };
}

// The dominant frequency of what is heard, in Hz, by the browser's own FFT; null for silence. Of one channel, or of all.
async function frequency({ mid, channel }) {
  const context = new AudioContext();
  await context.resume();
  const analyser = new AnalyserNode(context, { fftSize: 8192 });
  const source = context.createMediaStreamSource(new MediaStream([transceiverOf(mid).receiver.track]));
  if (channel === null) source.connect(analyser);
  else source.connect(new ChannelSplitterNode(context, { numberOfOutputs: 2 })).connect(analyser, channel);
  const bins = new Float32Array(analyser.frequencyBinCount);
  let best = null;
  for (let tries = 0; tries < 50 && best === null; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    analyser.getFloatFrequencyData(bins);
    const peak = bins.indexOf(Math.max(...bins));
    if (bins[peak] > -50) best = (peak * context.sampleRate) / analyser.fftSize;
  }
  await context.close();
  return best;
}

// What is seen: its size, and how much its brightness varies across it: 0 for a blank one.
function picture(mid) {
  const { player } = players[mid];
  const canvas = new OffscreenCanvas(64, 48);
  const context = canvas.getContext("2d");
  context.drawImage(player, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const luma = [];
  for (let i = 0; i < data.length; i += 4) luma.push((data[i] + data[i + 1] + data[i + 2]) / 3);
  const mean = luma.reduce((sum, value) => sum + value, 0) / luma.length;
  const variance = luma.reduce((sum, value) => sum + (value - mean) ** 2, 0) / luma.length;
  return { width: player.videoWidth, height: player.videoHeight, contrast: Math.sqrt(variance) };
}
