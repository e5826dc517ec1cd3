/** Contractions whose apostrophe the official evaluation of VQA restores where an answer lacks it. */

/** All that the evaluation knows; others, as "we're", stay as they are. */
const RESTORED = `
  ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
  how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock
  oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
  someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
  they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd
  where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
  y'all'd've y'all'll you'd you'd've you'll you're you've 'ow's'at
`
  .trim()
  .split(/\s+/);

/** By the word without one of its apostrophes. One entry of the evaluation does the reverse. */
export const CONTRACTIONS: ReadonlyMap<string, string> = new Map([
  ...RESTORED.flatMap((word) =>
    [...word.matchAll(/'/g)].map(({ index }): [string, string] => [
      word.slice(0, index) + word.slice(index + 1),
      word,
    ]),
  ),
  ["somebody'd", 'somebodyd'],
]);
