/** Preloaded into a command by `run.mjs`: once the launcher is gone, or says so, the command ends as by SIGTERM. */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
// The channel alone does not keep a command from ending.
process.channel?.unref();
