import type { Config } from '../../checkpoint/checkpoint.js';
import { WisemergeError } from '../../errors.js';
import type { ActivationKind } from '../../native/network.js';

/** Reads fields of config.json, which people edit: all throw ERR_CONFIG with the name of the field. */
export class ConfigFields {
  readonly #config: Config;
  readonly #prefix: string;

  constructor(config: Config, prefix = '') {
    this.#config = config;
    this.#prefix = prefix;
  }

  has(name: string): boolean {
    return this.#config[name] !== undefined && this.#config[name] !== null;
  }

  /** A whole number from 1. */
  count(name: string, otherwise?: number): number {
    const value = this.has(name) ? this.#config[name] : otherwise;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1) return value;
    throw this.#error(name, value, 'a whole number from 1');
  }

  /** A finite number. */
  number(name: string, otherwise?: number): number {
    const value = this.has(name) ? this.#config[name] : otherwise;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.#error(name, value, 'a number');
  }

  text(name: string, otherwise: string): string {
    const value = this.has(name) ? this.#config[name] : otherwise;
    if (typeof value === 'string') return value;
    throw this.#error(name, value, 'a string');
  }

  flag(name: string, otherwise = false): boolean {
    const value = this.has(name) ? this.#config[name] : otherwise;
    if (typeof value === 'boolean') return value;
    throw this.#error(name, value, 'true or false');
  }

  /** An object; absent: an empty one. */
  part(name: string): ConfigFields {
    const value = this.has(name) ? this.#config[name] : {};
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new ConfigFields(value as Config, `${this.#prefix}${name}.`);
    }
    throw this.#error(name, value, 'an object');
  }

  list(name: string): readonly unknown[] | undefined {
    const value = this.#config[name];
    if (value === undefined || value === null || Array.isArray(value)) return value ?? undefined;
    throw this.#error(name, value, 'a list');
  }

  activation(name: string, otherwise: string): ActivationKind {
    const value = this.text(name, otherwise);
    const kind = activations[value];
    if (kind) return kind;
    throw this.#error(name, value, `one of ${Object.keys(activations).join(', ')}`);
  }

  #error(name: string, value: unknown, wanted: string): WisemergeError {
    const given = value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`;
    return new WisemergeError(
      'ERR_CONFIG',
      `${this.#prefix}${name} of config.json ${given}; expected ${wanted}`,
    );
  }
}

/** By the names that transformers gives them. */
const activations: Readonly<Record<string, ActivationKind>> = {
  gelu: 'gelu',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  quick_gelu: 'quickGelu',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
};
