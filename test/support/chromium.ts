import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { tempDir } from './temp.js';

type Message = {
  id?: number;
  method?: string;
  params?: Record<string, never>;
  result?: never;
  error?: unknown;
};

/** A page as it was opened: what it asked for, and what it complained about. */
export interface Page {
  readonly requests: readonly string[];
  readonly problems: readonly string[];
  /** The value of an expression in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** Of all of it, as PNG. */
  screenshot(): Promise<Buffer>;
}

/** A headless Chromium, driven over a pipe by the DevTools protocol. */
export class Chromium implements AsyncDisposable {
  static readonly path = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
    existsSync,
  );

  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #listener: (message: Message) => void = () => {};
  #id = 0;
  #rest = '';

  private constructor(process: ChildProcess) {
    this.#process = process;
    (process.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk));
  }

  static async start(): Promise<Chromium> {
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--hide-scrollbars'];
    const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];
    const profile = `--user-data-dir=${await tempDir()}`;
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] as const;
    return new Chromium(
      spawn(Chromium.path!, [...flags, ...quiet, profile, '--remote-debugging-pipe'], { stdio: [...stdio] }),
    );
  }

  /** Opens a file in a window of some width, and waits until it has settled. */
  async open(path: string, width: number, scheme: 'light' | 'dark'): Promise<Page> {
    const { targetId } = await this.#send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.#send('Target.attachToTarget', { targetId, flatten: true });
    const send = (method: string, params: object = {}) => this.#send(method, params, sessionId);
    const [requests, problems]: [string[], string[]] = [[], []];
    let loaded = () => {};
    const done = new Promise<void>((resolve) => {
      loaded = resolve;
    });
    this.#listener = ({ method, params = {} }) => {
      const of = params as Record<string, Record<string, string>>;
      if (method === 'Network.requestWillBeSent' && !of.request!.url!.startsWith('data:'))
        requests.push(of.request!.url!);
      if (method === 'Log.entryAdded') problems.push(of.entry!.text!);
      if (method === 'Runtime.consoleAPICalled' || method === 'Runtime.exceptionThrown')
        problems.push(JSON.stringify(params));
      if (method === 'Page.loadEventFired') loaded();
    };
    for (const domain of ['Page', 'Network', 'Log', 'Runtime']) await send(`${domain}.enable`);
    await send('Emulation.setDeviceMetricsOverride', {
      width,
      height: 900,
      deviceScaleFactor: 1,
      mobile: width < 600,
    });
    await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
    await send('Page.navigate', { url: pathToFileURL(path).href });
    await done;
    await setTimeout(100); // requests that begin after loading
    return {
      requests,
      problems,
      evaluate: async (expression) =>
        (await send('Runtime.evaluate', { expression, returnByValue: true })).result.value,
      screenshot: async () => {
        const { data } = await send('Page.captureScreenshot', { captureBeyondViewport: true });
        return Buffer.from(data, 'base64');
      },
    };
  }

  // biome-ignore lint/suspicious/noExplicitAny: the protocol's answers have a shape per method.
  async #send(method: string, params: object, sessionId?: string): Promise<any> {
    const id = ++this.#id;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { result, error } = await answer;
    if (error) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  }

  #read(chunk: string): void {
    const messages = (this.#rest + chunk).split('\0');
    this.#rest = messages.pop()!;
    for (const text of messages) {
      const message = JSON.parse(text) as Message;
      if (message.id === undefined) this.#listener(message);
      else {
        this.#waiting.get(message.id)?.(message);
        this.#waiting.delete(message.id);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill();
    await ended;
  }
}
