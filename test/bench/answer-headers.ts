/** On a PUT to the bare handler: JSON of the headers that GET of this path shall have. */
export const ANSWER_HEADERS = "bare-answer-headers";
