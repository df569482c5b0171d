"""The vocabulary of the training sentences, by category.

Word lists only; `sentences` makes sentences of them.
"""

_LISTS: dict[str, str] = {
    "name": (
        "alice andrew anna ben carol chris claire daniel david diana edward ellen emma eric frank "
        "george grace hannah harry helen henry jack james jane john julia karen kate kevin laura "
        "linda lucy maria mark martin mary michael nick nora oliver paul peter rachel robert rose "
        "sam sarah simon sophie steven susan thomas tom victor william"
    ),
    "city": (
        "amsterdam athens austin berlin boston brussels cairo chicago dallas denver dublin "
        "florence geneva hamburg houston lisbon london madrid miami milan montreal moscow munich "
        "naples oslo oxford paris phoenix prague rome seattle stockholm sydney tokyo toronto "
        "vienna warsaw york zurich"
    ),
    "country": (
        "america australia brazil canada china denmark egypt england france germany greece india "
        "ireland italy japan mexico norway poland portugal scotland spain sweden turkey"
    ),
    "day": "monday tuesday wednesday thursday friday saturday sunday",
    "month": (
        "january february march april may june july august september october november december"
    ),
    "season": "spring summer autumn winter",
    "colour": "red green blue yellow black white orange purple brown pink grey silver golden",
    "animal": (
        "bear bird cat chicken cow dog duck fish fox frog goat horse lion monkey mouse pig rabbit "
        "sheep snake spider tiger turtle wolf elephant"
    ),
    "food": (
        "apple banana beans bread butter cake carrot cheese chocolate cookie corn cream eggs fruit "
        "garlic honey lemon meat mushroom noodles nuts onion pasta pepper pie pizza potato rice "
        "salad salt sandwich sauce soup sugar tomato vegetables breakfast lunch dinner dessert"
    ),
    "drink": "beer coffee juice lemonade milk tea water wine",
    "thing": (
        "answer army bag ball basket battery bed bell bicycle bill blanket boat book bottle bowl "
        "box bridge brush bus button camera candle car card chair clock cloud coat computer "
        "contract cup curtain desk dictionary door dream dress engine envelope eye file fire flag "
        "floor flower fork game gate gift glass glove guitar hammer hand hat heart helmet house "
        "idea jacket key keyboard kite knife ladder lamp leaf letter line list lock machine map "
        "medicine message mirror money moon needle newspaper note number paint paper pen pencil "
        "phone photo piano picture pillow pipe plan plane plant plate pocket present printer "
        "problem question radio report ring river road rock roof room rope school screen ship "
        "shirt shoe shovel song spoon star stone story suitcase sun sword table tent ticket tool "
        "towel toy train tree truck umbrella wall wallet watch wheel wheelchair window wood word"
    ),
    "place": (
        "airport bakery bank beach bedroom building castle church cinema city classroom corner "
        "country factory farm field forest garage garden harbour hospital hotel island kitchen "
        "lake library market mountain museum office palace park restaurant sea shop square "
        "stadium station street studio theatre town university valley village zoo"
    ),
    "room": "bathroom bedroom garage garden hallway kitchen office basement cellar attic",
    "device": "alarm camera fan heater light lights music oven radio speaker television heating",
    "person": (
        "actor artist baby baker boss boy brother captain child cook cousin daughter dentist "
        "doctor driver engineer farmer father friend gardener girl guard guest judge king lawyer "
        "man manager mother neighbour nurse officer painter patient pilot player poet policeman "
        "president prince princess queen sailor secretary singer sister soldier son student "
        "teacher uncle visitor waiter wife husband woman worker writer"
    ),
    "people": "children customers friends girls boys men neighbours parents people students women",
    "adjective": (
        "angry bad beautiful big brave bright broken busy careful cheap clean clever cold cool "
        "dark dear deep different difficult dirty dry early easy empty expensive famous fast fat "
        "fine fresh full funny good great happy hard heavy high hot huge hungry important "
        "interesting kind large late lazy light little lonely long loud low lucky modern narrow "
        "new nice old open perfect poor pretty proud quick quiet rich round sad safe serious sharp "
        "short sick simple slow small soft special strange strong sweet tall thick thin tired "
        "tiny ugly useful warm weak wet wide wild wise wonderful wrong young"
    ),
    "adverb": (
        "again already always carefully early easily finally slowly suddenly gently happily "
        "loudly never often once perhaps quickly quietly rarely really sometimes soon still "
        "together usually"
    ),
    "when": (
        "today|tomorrow|yesterday|tonight|this morning|this afternoon|this evening|last night|"
        "last week|last month|last year|next week|next month|next year|every day|after lunch|"
        "before dinner|in the morning|in the afternoon|in the evening|at night|at noon|"
        "at midnight|a week ago|right now|all day long|for an hour|for a long time"
    ),
    "unit": "minutes hours days weeks months years",
    "measure": "kilometres metres miles pounds litres degrees percent",
    "weather": "cloudy cold dry foggy hot rainy snowy stormy sunny warm windy",
    "subject": "i you he she we they somebody everyone nobody",
    "possessive": "my your his her our their",
    "preposition": "near behind under over beside above below inside outside around towards",
    "relation": "because although while until before after when if since unless",
    "direction": "north south east west left right straight back forward upstairs downstairs",
    "subject_matter": (
        "art biology business chemistry english french geography german health history language "
        "law life love mathematics music nature peace physics politics science spanish sport war "
        "work"
    ),
    "polite": "please|could you please|would you|can you|kindly",
    "greeting": "hello|good morning|good evening|hi|good afternoon|good night|welcome",
    "reply": (
        "yes|no|okay|of course|not yet|maybe later|thank you|sorry|excuse me|never mind|sure|"
        "all right|i agree|that is true|no problem"
    ),
    "number_word": "first second third fourth fifth half quarter dozen pair couple",
    "digit": "zero one two three four five six seven eight nine",
}

# base form, past form, ing form
_VERBS = (
    "ask/asked/asking bring/brought/bringing build/built/building buy/bought/buying "
    "call/called/calling carry/carried/carrying catch/caught/catching change/changed/changing "
    "check/checked/checking choose/chose/choosing clean/cleaned/cleaning close/closed/closing "
    "collect/collected/collecting copy/copied/copying count/counted/counting "
    "cover/covered/covering cut/cut/cutting deliver/delivered/delivering "
    "describe/described/describing draw/drew/drawing drop/dropped/dropping enjoy/enjoyed/enjoying "
    "explain/explained/explaining feel/felt/feeling fill/filled/filling find/found/finding "
    "finish/finished/finishing follow/followed/following forget/forgot/forgetting "
    "give/gave/giving hate/hated/hating hear/heard/hearing help/helped/helping hide/hid/hiding "
    "hold/held/holding keep/kept/keeping know/knew/knowing leave/left/leaving like/liked/liking "
    "lose/lost/losing love/loved/loving make/made/making mention/mentioned/mentioning "
    "miss/missed/missing move/moved/moving need/needed/needing notice/noticed/noticing "
    "offer/offered/offering open/opened/opening order/ordered/ordering paint/painted/painting "
    "pay/paid/paying pick/picked/picking prefer/preferred/preferring prepare/prepared/preparing "
    "print/printed/printing pull/pulled/pulling push/pushed/pushing put/put/putting "
    "raise/raised/raising reach/reached/reaching receive/received/receiving "
    "remember/remembered/remembering rent/rented/renting repair/repaired/repairing "
    "save/saved/saving see/saw/seeing sell/sold/selling send/sent/sending share/shared/sharing "
    "show/showed/showing sign/signed/signing steal/stole/stealing study/studied/studying "
    "take/took/taking teach/taught/teaching tell/told/telling test/tested/testing "
    "throw/threw/throwing touch/touched/touching try/tried/trying understand/understood/"
    "understanding use/used/using visit/visited/visiting want/wanted/wanting wash/washed/washing "
    "win/won/winning write/wrote/writing"
)
_MOTIONS = (
    "arrive/arrived/arriving begin/began/beginning cry/cried/crying dance/danced/dancing "
    "disappear/disappeared/disappearing drive/drove/driving eat/ate/eating fall/fell/falling "
    "fight/fought/fighting fly/flew/flying go/went/going grow/grew/growing jump/jumped/jumping "
    "laugh/laughed/laughing learn/learned/learning listen/listened/listening live/lived/living "
    "meet/met/meeting play/played/playing read/read/reading rest/rested/resting "
    "return/returned/returning ride/rode/riding run/ran/running shout/shouted/shouting "
    "sing/sang/singing sit/sat/sitting sleep/slept/sleeping smile/smiled/smiling "
    "speak/spoke/speaking stand/stood/standing stay/stayed/staying stop/stopped/stopping "
    "swim/swam/swimming talk/talked/talking think/thought/thinking travel/travelled/travelling "
    "wait/waited/waiting wake/woke/waking walk/walked/walking work/worked/working"
)


def _word_categories() -> dict[str, tuple[str, ...]]:
    categories = {
        name: tuple(words.split("|") if "|" in words else words.split())
        for name, words in _LISTS.items()
    }
    for name, table in (("verb", _VERBS), ("motion", _MOTIONS)):
        forms = [entry.split("/") for entry in table.split()]
        for suffix, column in (("", 0), ("_past", 1), ("_ing", 2)):
            categories[name + suffix] = tuple(form[column] for form in forms)
    return categories


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


TEENS = _words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
CATEGORIES: dict[str, tuple[str, ...]] = _word_categories()
ALL_WORDS: tuple[str, ...] = tuple(
    sorted(
        {word for phrases in CATEGORIES.values() for phrase in phrases for word in phrase.split()}
    )
)
