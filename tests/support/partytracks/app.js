// The client half of an application on partytracks, as its README has it. Bundled by esbuild.
// The page's own functions look at the peer connection that the library makes.
import { PartyTracks, getCamera, getMic } from "partytracks/client";
import { BehaviorSubject, firstValueFrom, of } from "rxjs";

const partyTracks = new PartyTracks();
partyTracks.peerConnection$.subscribe((peerConnection) => {
  connection = peerConnection;
});

const devices = {
  audio: () => getMic({ broadcasting: true }),
  video: () => getCamera({ broadcasting: true, constraints: { width: 960, height: 540, frameRate: 15 } }),
};
const pushed = {};
const pulled = {};

function keep(observable, subscriptions, name) {
  return new Promise((resolve, reject) => {
    subscriptions[name] = observable.subscribe({ next: resolve, error: reject });
  });
}

// Push the microphone or the camera; what others need to pull it.
window.push = async ({ kind, encodings }) => {
  const options = encodings ? { sendEncodings$: of(encodings) } : {};
  return keep(partyTracks.push(devices[kind]().broadcastTrack$, options), pushed, kind);
};

// Pull a track; the mid of its m-section.
window.pullTrack = async ({ metadata, preferredRid }) => {
  const preferredRid$ = new BehaviorSubject(preferredRid ?? undefined);
  const options = preferredRid ? { simulcast: { preferredRid$ } } : {};
  const track = await keep(partyTracks.pull(of(metadata), options), pulled, metadata.trackName);
  listen();
  const { mid } = connection.getTransceivers().find((transceiver) => transceiver.receiver.track === track);
  pulled[mid] = { preferredRid$, subscription: pulled[metadata.trackName] };
  return mid;
};

window.prefer = ({ mid, rid }) => pulled[mid].preferredRid$.next(rid);
window.stopPushing = (kind) => pushed[kind].unsubscribe();
window.stopPulling = (mid) => pulled[mid].subscription.unsubscribe();

// How often the library has begun anew with another session.
window.sessions = () => partyTracks.history.entries.filter(({ type, endpoint }) => type === "request" && endpoint.includes("sessions/new")).length;

// What the library called, and what it was answered.
window.calls = () => partyTracks.history.entries.map(({ type, method, endpoint, body }) => {
  const text = JSON.stringify({ ...body, sessionDescription: undefined });
  return [type, method, endpoint, text].join(" ");
});
