/** Text modules: wrangler's rules of type Text, and the same in edge/vitest.config.ts. */
declare module '*.txt' {
  const text: string;
  export default text;
}
declare module '*.html' {
  const text: string;
  export default text;
}
declare module '*.css' {
  const text: string;
  export default text;
}
