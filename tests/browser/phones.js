// Two SIP clients of browsers behind one interface, for a page. Built into one script by drive.mjs.

import JsSIP from "jssip";
import { Inviter, Registerer, SessionState, UserAgent } from "sip.js";
import { holdModifier } from "sip.js/lib/platform/web/index.js";

/** What happened to a phone, in order, and whoever waits for it. */
class Diary {
  seen = [];
  waiting = [];
  offered;

  /** What the other side's re-INVITE means. It is done with its ACK: both libraries refuse one of ours before that,
   * SIP.js after it has made an offer it never takes back. */
  offer(what) {
    this.offered = what;
  }

  acknowledge() {
    if (this.offered) this.note(this.offered);
    this.offered = undefined;
  }

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
      session.on("hold", ({ originator }) => originator === "remote" && this.diary.offer("held"));
      session.on("unhold", ({ originator }) => originator === "remote" && this.diary.offer("resumed"));
      const receive = session.receiveRequest.bind(session);
      session.receiveRequest = (request) => {
        receive(request);
        if (request.method === "ACK") this.diary.acknowledge();
      };
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

  change(how) {
    return new Promise((done, refused) => this.session[how]({}, done) || refused(new Error(`not ready to ${how}`)));
  }

  hold() {
    return this.change("hold");
  }

  resume() {
    return this.change("unhold");
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
        if (direction) this.diary.offer(direction === "sendrecv" ? "resumed" : "held");
      },
      onAck: () => this.diary.acknowledge(),
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
    return this.change([holdModifier]);
  }

  resume() {
    return this.change([]);
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
