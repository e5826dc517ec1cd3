/** The Worker: bindings → services → app, once per isolate. */
import type { Hono } from 'hono';
import { createApp } from './app.ts';
import type { Env } from './config.ts';
import { createServices } from './dependencies.ts';
import type { AppEnv } from './routes/request-context.ts';

let app: Hono<AppEnv> | undefined;

export default {
  fetch(request, env, context) {
    app ??= createApp(createServices(env));
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;
