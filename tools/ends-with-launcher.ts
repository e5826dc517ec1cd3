/** Preloaded into a command by `run.mjs`: when the launcher disconnects or is gone, the command ends as by SIGTERM. */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
// The channel alone does not delay the end of a command.
process.channel?.unref();
