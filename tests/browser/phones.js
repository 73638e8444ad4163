// Two SIP clients of browsers behind one interface, for a page. Built into one script by drive.mjs.

import JsSIP from "jssip";
import { Inviter, Registerer, SessionState, UserAgent } from "sip.js";
import { holdModifier } from "sip.js/lib/platform/web/index.js";

const BUSY = new Error("ongoing");

/** Does what a library refuses while the ACK of the other side's re-INVITE is still on its way. */
async function settled(action) {
  for (let tries = 100; ; tries -= 1) {
    try {
      return await action();
    } catch (error) {
      if (tries === 0 || !/ongoing|pending/i.test(error.message)) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

/** What happened to a phone, in order, and whoever waits for it. */
class Diary {
  seen = [];
  waiting = [];

  note(what) {
    this.seen.push(what);
    for (const { wanted, done } of this.waiting.splice(0)) this.await(wanted, done);
  }

  await(wanted, done) {
    const at = this.seen.indexOf(wanted);
    if (at < 0) this.waiting.push({ wanted, done });
    else done(this.seen.splice(at, 1)[0]);
  }

  until(wanted) {
    return new Promise((done) => this.await(wanted, done));
  }
}

const media = { audio: true, video: false };

class JsSipPhone {
  diary = new Diary();

  start({ server, domain, user, password }) {
    this.domain = domain;
    this.ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(server)],
      uri: `sip:${user}@${domain}`,
      password,
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 2,
      session_timers: false,
    });
    this.ua.on("registered", () => this.diary.note("registered"));
    this.ua.on("disconnected", () => this.diary.note("disconnected"));
    this.ua.on("registrationFailed", ({ cause }) => this.diary.note(`not registered: ${cause}`));
    this.ua.on("newRTCSession", ({ originator, session }) => {
      this.session = session;
      session.on("accepted", () => this.diary.note("answered"));
      session.on("confirmed", () => this.diary.note("confirmed"));
      session.on("hold", ({ originator }) => originator === "remote" && this.diary.note("held"));
      session.on("unhold", ({ originator }) => originator === "remote" && this.diary.note("resumed"));
      session.on("ended", () => this.diary.note("ended"));
      session.on("failed", ({ cause }) => this.diary.note(`failed: ${cause}`));
      if (originator === "remote") session.answer({ mediaConstraints: media, pcConfig: { iceServers: [] } });
    });
    this.ua.start();
    return this.diary.until("registered");
  }

  call(user) {
    this.ua.call(`sip:${user}@${this.domain}`, { mediaConstraints: media, pcConfig: { iceServers: [] } });
    return this.diary.until("answered");
  }

  hold() {
    return settled(() => new Promise((done, refused) => this.session.hold({}, () => done(true)) || refused(BUSY)));
  }

  resume() {
    return settled(() => new Promise((done, refused) => this.session.unhold({}, () => done(true)) || refused(BUSY)));
  }

  hangUp() {
    this.session.terminate();
    return this.diary.until("ended");
  }

  until(what) {
    return this.diary.until(what);
  }
}

class SipJsPhone {
  diary = new Diary();

  async start({ server, domain, user, password }) {
    this.domain = domain;
    this.ua = new UserAgent({
      uri: UserAgent.makeURI(`sip:${user}@${domain}`),
      authorizationUsername: user,
      authorizationPassword: password,
      logBuiltinEnabled: false,
      transportOptions: { server, keepAliveInterval: 2 },
      sessionDescriptionHandlerFactoryOptions: { iceGatheringTimeout: 500, peerConnectionConfiguration: { iceServers: [] } },
      delegate: {
        onInvite: (invitation) => {
          this.follow(invitation);
          invitation.accept({ sessionDescriptionHandlerOptions: { constraints: media } });
        },
        onDisconnect: (error) => error && this.comeBack(),
      },
    });
    this.registerer = new Registerer(this.ua);
    await this.ua.start();
    return this.register();
  }

  register() {
    return new Promise((done, refused) => {
      const requestDelegate = {
        onAccept: () => done(this.diary.note("registered")),
        onReject: ({ message }) => refused(new Error(`not registered: ${message.statusCode}`)),
      };
      this.registerer.register({ requestDelegate });
    }).then(() => this.diary.until("registered"));
  }

  /** SIP.js leaves coming back to whoever uses it. */
  async comeBack() {
    this.diary.note("disconnected");
    for (;;) {
      try {
        await this.ua.reconnect();
        await this.register();
        this.diary.note("registered");
        return;
      } catch {
        await new Promise((later) => setTimeout(later, 500));
      }
    }
  }

  follow(session) {
    this.session = session;
    session.stateChange.addListener((state) => {
      if (state === SessionState.Established) this.diary.note("answered");
      if (state === SessionState.Terminated) this.diary.note("ended");
    });
    session.delegate = {
      onInvite: ({ body }) => {
        const [, direction] = /a=(sendonly|inactive|sendrecv)/.exec(body) ?? [];
        if (direction) this.diary.note(direction === "sendrecv" ? "resumed" : "held");
      },
    };
  }

  async call(user) {
    const inviter = new Inviter(this.ua, UserAgent.makeURI(`sip:${user}@${this.domain}`), {
      sessionDescriptionHandlerOptions: { constraints: media },
    });
    this.follow(inviter);
    await inviter.invite();
    return this.diary.until("answered");
  }

  change(modifiers) {
    return new Promise((done, refused) => {
      const requestDelegate = {
        onAccept: () => done(true),
        onReject: ({ message }) => refused(new Error(`re-INVITE: ${message.statusCode}`)),
      };
      this.session.invite({ requestDelegate, sessionDescriptionHandlerModifiers: modifiers }).catch(refused);
    });
  }

  hold() {
    return settled(() => this.change([holdModifier]));
  }

  resume() {
    return settled(() => this.change([]));
  }

  async hangUp() {
    await this.session.bye();
    return this.diary.until("ended");
  }

  until(what) {
    return this.diary.until(what);
  }
}

globalThis.phones = { jssip: () => new JsSipPhone(), sipjs: () => new SipJsPhone() };
