#!/bin/sh
# Becomes workerd, and leaves behind a watcher that ends it once its parent is gone: workerd would stay, as nothing
# tells it. A parent that is killed cannot.
parent=$PPID
(
  while kill -0 "$parent" && kill -0 $$; do sleep 1; done
  kill -KILL $$
) </dev/null >/dev/null 2>&1 3>&- &
exec "$LOCAL_WORKERD" "$@"
