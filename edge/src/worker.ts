/** The Worker: bindings → services → app, once per isolate. */
import type { Hono } from 'hono';
import { createApp } from './app.ts';
import type { AppEnv } from './routes/context.ts';
import { createServices } from './services.ts';
import type { Env } from './settings.ts';

let app: Hono<AppEnv> | undefined;

export default {
  fetch(request, env, context) {
    app ??= createApp(createServices(env));
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;
