/** Images that the script holds as `data:` URLs: esbuild's loader of that name. */
declare module '*.webp' {
  const dataUrl: string;
  export default dataUrl;
}
