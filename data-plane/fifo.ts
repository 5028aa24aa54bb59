/** A first-in-first-out queue that stays fast when it is long: taking from the head moves nothing. */
export interface Fifo<T> {
  push(item: T): void;
  /** Back at the head. */
  unshift(item: T): void;
  peek(): T | undefined;
  shift(): T | undefined;
  size(): number;
}

/** The taken head is cut off once it is this long, and at least half of the whole. */
const cutAfter = 1024;

export function createFifo<T>(): Fifo<T> {
  let items: (T | undefined)[] = [];
  let head = 0;
  return {
    push: (item) => void items.push(item),
    unshift(item) {
      if (head > 0) items[--head] = item;
      else items.unshift(item);
    },
    peek: () => items[head],
    shift() {
      const item = items[head];
      if (head < items.length) items[head++] = undefined;
      if (head >= cutAfter && head * 2 >= items.length) {
        items = items.slice(head);
        head = 0;
      }
      return item;
    },
    size: () => items.length - head,
  };
}
