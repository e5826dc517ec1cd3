/** Finds elements of the document by what they are: the markup and the script agree, or the page says where not. */

type Kind<T> = new () => T;

/** @throws Error when there is none of this kind, which is a mistake in page.html */
export function byId<T extends HTMLElement>(id: string, kind: Kind<T>): T {
  return expectKind(document.getElementById(id), kind, `#${id}`);
}

/** The first element within `root` that a selector matches. @throws Error when there is none of this kind */
export function within<T extends HTMLElement>(
  root: ParentNode,
  selector: string,
  kind: Kind<T>,
): T {
  return expectKind(root.querySelector(selector), kind, selector);
}

/** A copy of the one element in a `<template>`. */
export function copyOf(templateId: string): HTMLElement {
  const { content } = byId(templateId, HTMLTemplateElement);
  const copy = document.importNode(content, true).firstElementChild;
  return expectKind(copy, HTMLElement, `the content of #${templateId}`);
}

function expectKind<T>(element: Element | null, kind: Kind<T>, where: string): T {
  if (element instanceof kind) return element;
  throw new Error(`The page has no ${kind.name} at ${where}.`);
}
