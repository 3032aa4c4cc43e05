#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt::corpus {
namespace {

#define PARTS(name, ...) constexpr std::string_view name[] = {__VA_ARGS__}

PARTS(lost_trouble,
      "But when they [came to|reached] {place}, the {colour} {thing} was gone! {hero} looked [left and right|in every pocket|behind every "
      "stone], but {he} could "
      "not find it. \"I must have dropped it,\" {he} said, and a tear ran down {his} cheek. ",
      "They played at {place} until {hero} noticed something terrible. \"My {thing}! Where is my {colour} {thing}?\" {he} cried. It was "
      "lost. ");
PARTS(lost_attempt,
      "They searched [under the bushes|along the path|in the tall grass]. {friend} found a~ {othercolour} {otherthing}, but that was not "
      "it. ",
      "\"Was it the {othercolour} {otherthing}?\" asked {friend}. \"No,\" said {hero}, \"it was the {colour} {thing}, the one my {giver} "
      "gave me.\" ");
PARTS(lost_help,
      "Then they asked {elder}. \"Go back the way you came,\" {elder} said, \"and look at every step, not only at the big ones.\" ",
      "{elder} heard {him} crying. \"What does it look like?\" {elder} asked. \"It is {colour}, and made of {material},\" said {hero}. ");
PARTS(lost_resolution,
      "So they went back slowly, and there, [between two roots|beside a puddle|under a leaf], lay the {colour} {thing}! {hero} jumped for "
      "joy. ",
      "And what was that on the path? Something {colour}! It was the {thing}. {hero} picked it up and did not let it go again. ");
PARTS(lost_lesson, "{hero} had learned to look after the things {he} loved. ", "\"Next time I will look where I put it,\" said {hero}. ",
      "Who searches with patience finds what is lost: that is what {hero} learned. ");

PARTS(broken_trouble,
      "[At {place}|Near {place}] {hero} ran too fast and fell. Crack! The {colour} {thing} broke in two. {hero} [sat down and wept|could "
      "not say a word|stared at "
      "the pieces]. ",
      "{friend} wanted to hold the {colour} {thing}, but {fhe} let it fall. Crack! Now it was broken. \"I am so sorry,\" whispered "
      "{friend}, and {fhe} looked at "
      "{fhis} feet. ");
PARTS(broken_attempt, "{hero} tried to mend it with [mud|grass|a string], but the {material} did not hold. ",
      "They put the pieces together, and they fell apart again. \"{Material} is not easy to mend,\" said {hero}. ");
PARTS(broken_help,
      "\"Bring it to me,\" said {elder}, who could repair almost everything. {elder} looked at the {material} for a long time. ",
      "{elder} had [a pot of glue|a needle and thread|a small hammer]. \"Things that are broken can be mended,\" said {elder}, \"if you "
      "hold still.\" ");
PARTS(broken_resolution,
      "Soon the {colour} {thing} was whole again. One could see where it had been broken, and {hero} loved it even more for that. ",
      "When the work was done, the {thing} was as {colour} as before. {hero} [thanked|hugged] {elder} and forgave {his} friend {friend}. ");
PARTS(broken_lesson, "{hero} had learned that broken things can be mended. ",
      "\"What is broken can become whole again,\" said {hero}, \"and a mended thing is twice "
      "as dear.\" ");

PARTS(share_trouble,
      "At {place} {friend} asked, \"May I have a turn with the {colour} {thing}?\" \"No,\" said {hero}, \"it is mine!\" {friend} went away "
      "and sat down alone. ",
      "{hero} played with the {colour} {thing} all morning. {friend} only watched. \"You may not touch it,\" said {hero}. {friend} was "
      "[sad|quiet|hurt]. ");
PARTS(share_attempt,
      "{hero} went on playing, but alone it was no fun. The {thing} was still {colour}, and yet it seemed [dull|grey|small]. ",
      "After a while {hero} was bored. {He} looked at {friend}, who was singing {song} all alone. ");
PARTS(share_help, "\"A~ {thing} is only a~ {thing},\" said {elder}, \"but a friend is a friend.\" {hero} thought about that. ",
      "{elder} gave {him} one half of {food} and kept the other. \"It tastes better when it is shared,\" said {elder}. ");
PARTS(share_resolution,
      "So {hero} went to {friend} and held out the {colour} {thing}. \"It is your turn now,\" {he} said. {friend} smiled from ear to ear. ",
      "\"I am sorry,\" {hero} said to {friend}. \"Let us play together.\" And they took turns with the {colour} {thing} until sunset. ");
PARTS(share_lesson, "{hero} had learned to share. ", "\"Shared joy is double joy,\" said {hero}. ",
      "From then on {hero} shared all that {he} had. ");

PARTS(dark_trouble,
      "They stayed at {place} too long, and it grew dark. {hero} was afraid of the dark. \"I hear something,\" {he} whispered. \"[Hoo, "
      "hoo|Crack, crack|Shhh, shhh],\" "
      "it went. ",
      "The sun went down behind {place}. Everything was black, and {hero} held {friend} by the paw. \"What if there is a monster?\" {he} "
      "asked. ");
PARTS(dark_attempt, "{hero} closed {his} eyes, but with closed eyes it was even darker. ",
      "{friend} sang {song} to chase the fear away, but {fhis} voice was shaking. ");
PARTS(dark_help,
      "Then a small light came near. It was {elder} with a lamp. \"Look,\" said {elder}, \"the monster is only [a bush|a tree stump|an old "
      "fence].\" ",
      "\"Do not run,\" said a voice. It was {elder}. \"The night is only the day with its eyes closed.\" ");
PARTS(dark_resolution,
      "{hero} looked again, and the monster was gone. {He} even saw the {colour} {thing} shining in the moonlight. {He} was not afraid any "
      "more. ",
      "Step by step they walked home in the dark, {hero} in front. The {colour} {thing} swung in {his} hand. ");
PARTS(dark_lesson, "{hero} had learned that being brave means going on although one is afraid. ",
      "\"The dark is not so bad when you look at it closely,\" said {hero}. ");

PARTS(lie_trouble,
      "At {place} {hero} ate all of {food} in secret. \"Who has eaten it?\" asked {friend}. \"Not I,\" said {hero}. That was a lie, and "
      "{his} ears grew hot. ",
      "{hero} had knocked over the pot of {elder}. \"It was {friend},\" {he} said quickly. But it was not true. ");
PARTS(lie_attempt, "{friend} the {fkind} said nothing, and that was the worst. The lie sat in the belly of {hero} like a stone. ",
      "All day long {he} could think of nothing else. Even the {colour} {thing} did not make {him} happy. ");
PARTS(lie_help, "\"A lie grows when you feed it,\" said {elder}, \"and the truth makes it small.\" ",
      "{elder} looked at {him} kindly. \"Is there something you want to tell me?\" asked {elder}. ");
PARTS(lie_resolution, "{hero} took a deep breath. \"It was me,\" {he} said. \"I am sorry, {friend}.\" And {friend} forgave {him} at once. ",
      "Then {hero} told the truth. {friend} the {fkind} [hugged {him}|nodded|smiled]. \"It takes courage to say that,\" {fhe} said. ");
PARTS(lie_lesson, "{hero} had learned to tell the truth. ", "\"The truth is light to carry,\" said {hero}, \"and a lie is heavy.\" ");

PARTS(storm_trouble,
      "Then the sky turned black, and a storm broke over {place}. The wind tore at the {colour} {thing}, and {hero} held on to it with all "
      "{his} strength. ",
      "Suddenly there was thunder. \"We must find a roof!\" shouted {friend}. The rain fell so hard that they could hardly see {place}. ");
PARTS(storm_attempt, "They crept under a~ [bush|rock|cart], but the water came in from all sides. ",
      "{hero} wanted to run on, but {friend} held {him} back. \"Not alone,\" {fhe} said. ");
PARTS(storm_help, "\"Come in, come in!\" called {elder} from a small door. Inside there was a fire, and {food} for everyone. ",
      "{elder} had seen them from the window and came with a big coat. All three fitted under it. ");
PARTS(storm_resolution,
      "They waited together until the storm was over. Then a rainbow stood over {place}, and one of its colours was just like the {colour} "
      "{thing}. ",
      "At last the thunder went away. The {colour} {thing} was wet, but it was safe, and so were they. ");
PARTS(storm_lesson, "{hero} had learned that every storm passes. ", "\"Together we can wait for the sun,\" said {hero}. ");

PARTS(proud_trouble,
      "\"No {kind} is faster than I am,\" said {hero}. \"I will be at {place} long before you!\" And {he} ran off without looking back at "
      "{friend}. ",
      "\"I can do it alone,\" {hero} said. \"I need no {fkind} to help me.\" {friend} was hurt and stayed behind. {hero} went on alone to "
      "{place}. ");
PARTS(proud_attempt, "But near {place} {he} fell into a deep [ditch|hole|pit]. {He} jumped and jumped and could not get out. ",
      "Then the path split in two, and {hero} took the wrong way. Soon {he} was stuck in the mud up to {his} knees. ");
PARTS(proud_help, "{elder} heard {him} calling, but {elder} was too old to pull {him} out. \"Call your friend,\" said {elder}. ",
      "\"Pride makes you tall and leaves you alone,\" said {elder}, who was passing by. \"Whom could you ask for help?\" ");
PARTS(proud_resolution,
      "\"{friend}! Please help me!\" called {hero}. And {friend} came at once, let down a rope, and pulled {him} out, the {colour} {thing} "
      "and all. ",
      "Then {friend} the {fkind} came along, slowly and surely, and helped {him} out. \"Thank you,\" said {hero}. \"I was foolish.\" ");
PARTS(proud_lesson, "{hero} had learned that nobody is too big to ask for help. ", "\"I will never boast again,\" said {hero}. ");

PARTS(
    lonely_trouble,
    "At {place} sat a little {otherkind} all alone. Nobody had asked the {otherkind} to play. \"I do not know that one,\" said {hero}, and "
    "{he} looked away. ",
    "A small {otherkind} stood at {place} and watched them. \"May I play, too?\" asked the {otherkind}. {hero} did not know what to say. ");
PARTS(lonely_attempt, "{friend} wanted to go on, but {hero} kept looking at the {otherkind}. ",
      "They played on, but {hero} could feel the eyes of the {otherkind}. ");
PARTS(lonely_help, "\"Everybody was a stranger once,\" said {elder}. \"Even you, little {kind}, when you came to {home}.\" ",
      "{elder} whispered, \"The {otherkind} came here only yesterday and knows nobody.\" ");
PARTS(lonely_resolution,
      "So {hero} went to the {otherkind} and held out the {colour} {thing}. \"Do you want to play with us?\" {he} asked. The {otherkind} "
      "laughed for the "
      "first time that day. ",
      "{hero} broke {food} into three parts: one for {friend}, one for {him}self, and one for the {otherkind}. Now they were three. ");
PARTS(lonely_lesson, "{hero} had learned that a stranger can become a friend. ", "\"There is always room for one more,\" said {hero}. ");

PARTS(promise_trouble,
      "{hero} had promised {elder} to water the garden before going to {place}. But {he} had forgotten it! \"Oh no,\" {he} said, \"I gave "
      "my word.\" ",
      "At {place} {hero} suddenly stood still. \"I promised to bring {food} to {elder},\" {he} said, \"and I forgot.\" ");
PARTS(promise_attempt, "\"We can do it tomorrow,\" said {friend}. But {hero} had no peace. ",
      "{hero} tried to play with the {colour} {thing}, but {he} kept thinking of {his} promise. ");
PARTS(promise_help,
      "\"Then let us run,\" said {friend}, \"I will help you.\" And the {kind} and the {fkind} ran back as fast as they could. ",
      "{friend} took {him} by the hand. \"It is not too late,\" {fhe} said. ");
PARTS(promise_resolution, "{elder} was waiting at the gate. \"I knew you would come,\" said {elder}. \"You kept your promise.\" ",
      "They came just before sunset. {elder} was so glad that all three of them went to {place} together the next day. ");
PARTS(promise_lesson, "{hero} had learned to keep {his} promises. ", "\"A promise is a promise,\" said {hero}. ");

PARTS(hurry_trouble,
      "{hero} wanted to build a bridge of sticks at {place}. {He} worked so fast that it fell down at once. {He} tried again, even faster, "
      "and it fell down again. ",
      "{hero} wanted to learn to play {song}. But {he} was in a hurry, and every note came out wrong. \"I will never learn it!\" {he} "
      "cried at {place}. ");
PARTS(hurry_attempt, "{He} threw the {colour} {thing} into the grass and stamped {his} foot. ",
      "\"Let me try,\" said {friend}, but {friend} the {fkind} could not do it either. ");
PARTS(hurry_help, "\"How does a snail climb a hill?\" asked {elder}. \"Slowly,\" said {hero}. \"And does it get there?\" ",
      "{elder} sat down next to {him}. \"One small step,\" said {elder}, \"and then one more.\" ");
PARTS(hurry_resolution,
      "So {hero} began again, slowly this time, one piece after the other. By evening it was done, and even {friend} clapped. ",
      "{hero} took {his} time. It went wrong once, and twice, and the third time it went well! {friend} threw the {colour} {thing} in the "
      "air for joy. ");
PARTS(hurry_lesson, "{hero} had learned to be patient. ", "\"Slow is sometimes the fastest way,\" said {hero}. ");

PARTS(quarrel_trouble,
      "At {place} the two friends began to quarrel. \"We go left!\" said {hero}. \"We go right!\" said {friend}. They shouted until [the "
      "birds flew away|their "
      "throats were sore|the leaves shook]. ",
      "\"That is the wrong way to hold a~ {thing},\" said {friend}. \"You know nothing about it,\" said {hero}. Soon they did not speak to "
      "each other any more. ");
PARTS(quarrel_attempt, "{hero} sat on one side of the path, {friend} on the other. Nobody sang {song}. ",
      "The {colour} {thing} lay between them, and nobody picked it up. ");
PARTS(quarrel_help,
      "\"Which of you is right?\" asked {elder}. \"Me!\" cried {hero}. \"Me!\" cried {friend}. \"Then both of you are alone,\" said "
      "{elder}. ",
      "{elder} put {food} in front of them, but only one spoon. They had to laugh. ");
PARTS(quarrel_resolution,
      "\"I am sorry,\" said {hero}. \"I am sorry, too,\" said {friend}. And {fhe} gave the {colour} {thing} back to {him}. ",
      "First {hero} smiled, then {friend} smiled. They shook hands, the {kind} and the {fkind}, and it was over. ");
PARTS(quarrel_lesson, "{hero} had learned that it is better to be friends than to be right. ",
      "\"Next time we will talk before we shout,\" said {hero}. ");

#define PLOT(name) \
  Plot { name##_trouble, name##_attempt, name##_help, name##_resolution, name##_lesson }
constexpr Plot plots[] = {PLOT(lost),  PLOT(broken), PLOT(share),   PLOT(dark),  PLOT(lie),    PLOT(storm),
                          PLOT(proud), PLOT(lonely), PLOT(promise), PLOT(hurry), PLOT(quarrel)};

}  // namespace

const std::span<const Plot> kPlots = plots;

}  // namespace cpuflow::rt::corpus
