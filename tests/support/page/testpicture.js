"use strict";
// What the probe's test picture says in its cells (rtcctl/media/picture.py), and key frames asked for.

const COLUMNS = 20;
const ROWS = 7;
const CELL = 16; // on a canvas of 320 × 180, whatever the size that came
const CORNERS = [0, COLUMNS - 1, (ROWS - 1) * COLUMNS, ROWS * COLUMNS - 1];

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// The number of the picture and its layer; null when the checksum does not fit: a damaged one, or no test picture.
function readMark(player) {
  const context = new OffscreenCanvas(COLUMNS * CELL, 180).getContext("2d", { willReadFrequently: true });
  context.drawImage(player, 0, 0, COLUMNS * CELL, 180);
  const { data } = context.getImageData(0, 0, COLUMNS * CELL, ROWS * CELL);
  const levels = Array.from({ length: COLUMNS * ROWS }, (_, cell) => {
    const [x, y] = [(cell % COLUMNS) * CELL, Math.floor(cell / COLUMNS) * CELL];
    let sum = 0;
    for (const dy of [6, 8, 10]) for (const dx of [6, 8, 10]) sum += data[4 * ((y + dy) * COLUMNS * CELL + x + dx) + 1];
    return sum;
  });
  const middle = CORNERS.reduce((sum, corner) => sum + levels[corner], 0) / 4;
  const bits = levels.filter((_, cell) => !CORNERS.includes(cell)).map((level) => level > middle);
  const bytes = new Uint8Array(bits.length / 8);
  bits.forEach((bit, index) => (bytes[index >> 3] |= bit << (7 - (index & 7))));
  const view = new DataView(bytes.buffer);
  if (crc32(bytes.subarray(0, 13)) !== view.getUint32(13)) return null;
  return { number: view.getUint32(0), layer: bytes[12] ? String.fromCharCode(bytes[12]) : "" };
}

// What the next pictures that are shown say, each with its size and when it was shown, in milliseconds.
function marks({ mid, count }) {
  const { player } = players[mid];
  return new Promise((resolve) => {
    const seen = [];
    const note = (at, { width, height }) => {
      seen.push({ ...readMark(player), at, width, height });
      if (seen.length === count) resolve(seen);
      else player.requestVideoFrameCallback(note);
    };
    player.requestVideoFrameCallback(note);
  });
}

const TRANSFORM = `onrtctransform = ({ transformer }) => {
  transformer.readable.pipeTo(transformer.writable);
  onmessage = () => transformer.sendKeyFrameRequest();
};`;

const transforms = {};

// Ask the sender for a key frame (PLI): only a transform of encoded frames may.
function askForKeyFrame(mid) {
  if (!transforms[mid]) {
    transforms[mid] = new Worker(URL.createObjectURL(new Blob([TRANSFORM])));
    transceiverOf(mid).receiver.transform = new RTCRtpScriptTransform(transforms[mid]);
  }
  transforms[mid].postMessage(null);
}
