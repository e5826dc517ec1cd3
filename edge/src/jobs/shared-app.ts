/** One app for the items of all objects of an isolate: to build one takes longer than to run an item. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Dependencies } from '../dependencies.ts';
import type { ItemApp } from './rehearsal.ts';

/**
 * What builds an app of some dependencies, at the cost of the first. Routes are all that is shared: a request finds the
 * dependencies that it was sent with, so that no object waits for what another has begun.
 * @param createApp may not read what it is given before a request comes
 */
export function sharedApp(
  createApp: (deps: Dependencies) => ItemApp,
): (deps: Dependencies) => ItemApp {
  const current = new AsyncLocalStorage<Dependencies>();
  let app: ItemApp | undefined;
  return (deps) => ({
    fetch: (request, env, context) => {
      app ??= createApp(dependenciesIn(current, deps));
      const shared = app;
      return current.run(deps, () => shared.fetch(request, env, context));
    },
  });
}

/** Dependencies each of which is that of the current request. @param like has all of their names */
function dependenciesIn(
  current: AsyncLocalStorage<Dependencies>,
  like: Dependencies,
): Dependencies {
  const getters = Object.keys(like).map((name) => {
    const get = () => {
      const deps = current.getStore();
      if (deps === undefined) throw new Error(`${name} is read outside of a request`);
      return deps[name as keyof Dependencies];
    };
    return [name, { get, enumerable: true }] as const;
  });
  return Object.defineProperties({}, Object.fromEntries(getters)) as Dependencies;
}
