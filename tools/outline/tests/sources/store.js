"use strict";

import { readFile } from "node:fs/promises";
const path = require("path");
const { join, resolve } = path;

export const LIMIT = 10, OTHER = 20;
let current = null;

export default class Store extends Map {
  #secret = 1;
  static instances = 0;
  onChange = (key) => {
    this.emit(key);
  };

  constructor(options = {}) {
    super();
    const local = options;
  }

  static async open(file) {
    return new Store(JSON.parse(await readFile(file)));
  }

  get size() { return super.size; }
  set size(value) {}
  *[Symbol.iterator]() {}
}

export async function load(name, { strict = true } = {}) {
  function inner() {}
  return inner(name);
}

function* ids() {
  yield 1;
}

export const save = async (store, file) => {
  const text = JSON.stringify(store);
  return text;
};

const Legacy = class extends Store {
  old() {}
};

const api = {
  base: "/v1",
  get(path) {
    return path;
  },
  post: function (path) {},
  remove: async (path) => {},
};

exports.helper = function helper(a, b) {
  return a + b;
};

Store.prototype.legacy = function () {};

module.exports = {
  api,
  create(options) {},
};

const Button = ({ label, onClick }) => <button onClick={() => onClick(label)}>{label}</button>;

describe("store", () => {
  const fixture = 1;
  it("keeps", () => {});
});
