// What tools/words.ts makes of the dictionary.
declare module 'virtual:words/en' {
  const words: Readonly<Record<string, string>>
  export default words
}
declare module 'virtual:words/zh' {
  export const words: Readonly<Record<string, string>>
  export const did: Readonly<Record<string, string>>
}
