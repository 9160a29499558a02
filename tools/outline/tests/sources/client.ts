import type { Agent } from "node:http";

export type Result<T> = { ok: true; value: T } | { ok: false; error: Error };
type Handlers = {
  open: () => void;
  close: () => void;
};

export interface Options extends Base<string> {
  readonly url: string;
  retries?: number;
  onError(error: Error): void;
  new (url: string): Options;
}

export enum Level {
  Low,
  High = 10,
}

declare const VERSION: string;
declare function connect(url: string): Promise<void>;

declare module "external" {
  export function parse(text: string): unknown;
}

declare global {
  interface Window {
    app: App;
  }
}

export namespace Util {
  export const zero = 0;
  export function clamp(value: number, low: number, high: number): number {
    return Math.min(Math.max(value, low), high);
  }
}

export abstract class Transport<T extends object = {}> implements Disposable {
  private static readonly pool: Map<string, Agent> = new Map();
  protected retries = 3;
  abstract send(data: T): Promise<void>;

  constructor(private readonly url: string, protected options?: Options) {}

  get host(): string {
    return new URL(this.url).host;
  }

  handle = async (event: MessageEvent<T>): Promise<void> => {};

  [Symbol.dispose](): void {}
}

@Injectable({
  scope: "request",
})
export class Client extends Transport<Message> {
  @Input() name = "";

  @HostListener("click", ["$event"])
  override async send(data: Message): Promise<void> {}

  request(path: string): Promise<Response>;
  request(path: string, body: unknown): Promise<Response>;
  request(path: string, body?: unknown): Promise<Response> {
    return fetch(path, { body } as RequestInit);
  }
}

export function isMessage(value: unknown): value is Message {
  return typeof value === "object";
}

export const retry = <T,>(
  work: () => Promise<T>,
  times = 3,
): Promise<T> => work();

const config = {
  url: "/",
  build() {
    return 1;
  },
} satisfies Options;

export default (options: Options) => new Client(options.url);
