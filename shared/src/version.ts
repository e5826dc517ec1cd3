/** Version of the service: that of its packages, which all have the same. */
import packageJson from '../package.json' with { type: 'json' };

export const VERSION: string = packageJson.version;
