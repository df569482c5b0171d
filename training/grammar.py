"""The phrase grammar of the training sentences.

Lower case names in braces are filled from `words.CATEGORIES`, upper case ones by `sentences`.
"""

# fmt: off
TEMPLATES: dict[str, tuple[str, ...]] = {
    "digits": ("{DIGITS}",),
    "number": (
        "{N}", "{N}", "room {N}", "page {N}", "there are {N} {people} in the {place}",
        "it is {N} {measure} to {city}", "the answer is {N}", "{N} {unit}",
        "chapter {N} of the book", "he counted {N} {animal}s", "we need {N} {colour} {thing}s",
        "flight number {DIGITS}", "call {name} at {DIGITS}", "the code is {DIGITS}",
        "my number is {DIGITS}", "add {N} and {N}", "the {thing} weighs {N} {measure}",
        "{N} point {DIGITS}",
    ),
    "time": (
        "{TIME}", "it is {TIME}", "wake me up at {TIME}", "the {thing} arrives at {TIME}",
        "meet me at the {place} at {TIME}", "the train to {city} leaves at {TIME}",
        "set an alarm for {TIME}", "set a timer for {N} {unit}", "dinner is at {TIME} on {day}",
        "remind me to call {name} at {TIME}", "the {place} closes at {TIME}",
        "from {TIME} until {TIME}", "in {N} {unit}", "{N} {unit} ago",
    ),
    "date": (
        "{DATE}", "today is {day} {DATE}", "the meeting is on {DATE}", "{name} was born on {DATE}",
        "the {thing} arrives in {city} on {DATE}", "on {day} the {ORDINAL} of {month}",
        "we moved to {city} in {month} {YEAR}", "the contract ends on {DATE}", "in the year {YEAR}",
        "see you on {day}", "the school opens again in {month}", "every {day} in {season}",
    ),
    "money": (
        "{MONEY}", "it costs {MONEY}", "the price of the {thing} is {MONEY}",
        "she paid {MONEY} for a {adjective} {thing}", "i owe {name} {MONEY}",
        "can you lend me {MONEY}", "the {food} costs {MONEY}", "transfer {MONEY} to {name}",
        "a ticket to {city} is {MONEY}", "we saved {MONEY} {when}",
    ),
    "travel": (
        "my name is {name} and i live in {city}",
        "{name} and {name} will travel from {city} to {city}",
        "book a flight from {city} to {city}", "{name} moved from {country} to {country}",
        "the train from {city} is late", "what is the weather in {city} {when}",
        "have you ever been to {country}", "{name} lives in {city} with {possessive} {person}",
        "i will meet {name} in {city} on {day}", "how far is it from {city} to {city}",
        "please send the {thing} to {name} in {city}", "{name} speaks english and {country} is far",
        "this is {name} from {city}", "{city} is a {adjective} {place}",
    ),
    "command": (
        "stop", "start", "pause", "next", "play", "go back", "help", "cancel", "repeat",
        "go {direction}", "turn {direction}", "turn on the {device}", "turn off the {device}",
        "{reply}", "{greeting}", "turn {ONOFF} the {colour} light in the {room}",
        "turn the {device} {ONOFF}", "volume up", "volume down", "{polite} open the {thing}",
        "{polite} close the {thing}", "open the {room} door", "play some {subject_matter}",
        "play the {adjective} song again", "call {name}", "call my {person}",
        "{polite} {verb} the {thing}", "send a message to {name}", "show me the {thing}",
        "set the {device} to {N}", "{polite} book a table for {N}", "add {food} to the list",
        "{polite} bring me a cup of {drink}", "find a {place} near {city}",
        "read the {thing} to {name}", "take a picture of the {thing}",
        "{verb} {possessive} {thing}", "{greeting} {name}",
        "remind me to {verb} the {thing} on {day}", "search for a {adjective} {thing}",
    ),
    "everyday": (
        "{CLAUSE}", "{CLAUSE}", "{CLAUSE}", "{CLAUSE} and {CLAUSE}", "{CLAUSE} {relation} {CLAUSE}",
        "{CLAUSE} but {CLAUSE}", "{QUESTION}", "{QUESTION}", "{NP} is {adjective} and {adjective}",
        "i think that {CLAUSE}", "{name} said that {CLAUSE}",
        "{greeting} {name} how are you {when}", "it will be {weather} in {city} {when}",
        "{reply} {CLAUSE}", "it was a {adjective} {day}",
    ),
    "random": ("{RANDOM}",),
}
CLAUSES = (
    "{NP} {verb_past} {NP}", "{NP} {verb_past} {NP} {when}", "{NP} {motion_past} {PP}",
    "{NP} {motion_past} {adverb}", "{subject} {verb_past} {NP} {PP}", "{NP} was {adjective}",
    "{NP} was {motion_ing} {PP}", "{NP} was {verb_ing} {NP}", "we are {verb_ing} {NP} {when}",
    "{NP} will {verb} {NP}", "{NP} will {motion} {PP} {when}", "there is a {thing} {PP}",
    "there were many {people} {PP}", "i would like some {food} and {drink}", "i don't {verb} {NP}",
    "{NP} can't {motion} {adverb}", "they want to {verb} {NP}", "{name} likes {food} with {food}",
    "you should {verb} {possessive} {thing}", "she has {N} {thing}s and a {animal}",
    "the {animal} {motion_past} {PP}", "{subject} {adverb} {verb_past} {NP}",
    "it's {weather} {when}", "{name} studied {subject_matter} and {subject_matter}",
    "the {thing} is {preposition} the {thing}", "{possessive} {person} works in a {place}",
    "let's {motion} to the {place}", "i'm very {adjective}",
    "the {number_word} {thing} is {colour}", "{name} has been {motion_ing} {when}",
    "he must {verb} the {number_word} {thing}", "both of them {verb_past} it",
)
QUESTIONS = (
    "where is {NP}", "who {verb_past} {NP}", "why did {NP} {verb} {NP}", "when will {NP} {motion}",
    "how much is {NP}", "do you {verb} {NP}", "did {name} {verb} {NP} {when}",
    "what's in the {thing}", "can we {motion} to the {place} {when}", "is {NP} {adjective}",
    "how many {thing}s do you have", "what did {subject} {verb} {when}",
    "which {thing} do you like", "are you {verb_ing} {NP}", "have they {verb_past} {NP}",
    "whose {thing} is this", "may i {verb} {possessive} {thing}",
)
NOUN_PHRASES = (
    "the {person}", "the {thing}", "a {thing}", "{name}", "{possessive} {person}", "the {place}",
    "{possessive} {thing}", "the {adjective} {thing}", "a {adjective} {person}", "the {animal}",
    "the {colour} {thing}", "some {food}", "this {thing}", "that {person}", "these {thing}s",
    "a {adjective} {animal}", "all the {people}", "{possessive} {adjective} {place}",
    "the {people}", "another {thing}", "every {person}", "two {animal}s",
    "the {person} from {city}",
)
PLACES = (
    "in the {place}", "at the {place}", "{preposition} the {thing}", "{preposition} the {place}",
    "to the {place}", "with {possessive} {person}", "in {city}", "on the {thing}", "from {city}",
    "through the {place}", "for {name}", "with {name}", "without a {thing}", "into the {place}",
    "about the {thing}", "between the {thing} and the {thing}", "at home", "across the {place}",
)
# fmt: on
