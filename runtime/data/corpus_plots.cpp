#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt::corpus {
namespace {

#define PARTS(name, ...) constexpr std::string_view name[] = {__VA_ARGS__}

PARTS(lost_trouble, "But at the {place} {hero} lost the {colour} {thing}. {He} looked and looked and could not find it. ",
      "Suddenly the {colour} {thing} was gone! \"I must have dropped it,\" cried {hero}. ");
PARTS(lost_help, "They asked the old {helper}. \"Go back the way you came,\" said the {helper}, \"and look at every step.\" ",
      "\"What have you lost?\" asked the old {helper}. \"A~ {colour} {thing},\" said {hero}. \"Search slowly,\" said the {helper}. ");
PARTS(lost_turn, "So {hero} and {friend} the {kind} went back slowly, and there, under a leaf, lay the {colour} {thing}! ",
      "They searched once more, and {friend} the {kind} found the {colour} {thing} in the grass. ");
PARTS(lost_lesson, "{hero} learned to look after the things {he} loved. ", "\"Now I will always look after it,\" said {hero}. ");

PARTS(broken_trouble, "At the {place} {hero} ran too fast and fell. Crack! The {colour} {thing} broke in two. ",
      "{friend} wanted to hold the {colour} {thing} and let it fall. Crack! It broke. \"I am so sorry,\" said {friend} the {kind}. ");
PARTS(broken_help, "\"Bring it to me,\" said the old {helper}. The {helper} had a pot of glue and could mend almost everything. ",
      "The old {helper} heard it. \"Broken things can be mended,\" said the {helper}, \"if you hold still.\" ");
PARTS(broken_turn, "Soon the {colour} {thing} was whole again, and {hero} thanked the {helper}. ",
      "{hero} and {friend} the {kind} held still, and soon the {colour} {thing} was mended. ");
PARTS(broken_lesson, "{hero} learned that broken things can be mended. ", "\"Now I love it even more,\" said {hero}. ");

PARTS(share_trouble,
      "At the {place} {friend} the {kind} asked, \"May I play with the {colour} {thing}?\" \"No, it is mine!\" said {hero}. {friend} was "
      "sad. ",
      "{hero} played with the {colour} {thing} all alone. \"You may not touch it,\" {he} said to {friend} the {kind}. ");
PARTS(share_help, "\"A~ {thing} is only a~ {thing}, but a friend is a friend,\" said the old {helper}. ",
      "The old {helper} gave {him} half of the {food}. \"It tastes better when it is shared,\" said the {helper}. ");
PARTS(share_turn, "So {hero} gave the {colour} {thing} to {friend} the {kind}. \"It is your turn,\" {he} said. ",
      "\"I am sorry,\" {hero} said to {friend} the {kind}, and they shared the {colour} {thing} until sunset. ");
PARTS(share_lesson, "{hero} learned to share. ", "\"Shared joy is double joy,\" said {hero}. ");

PARTS(dark_trouble, "They stayed at the {place} too long, and it grew dark. {hero} was afraid. \"I hear a monster!\" {he} whispered. ",
      "The sun went down behind the {place}. \"It is so dark,\" said {hero}, and {he} held on to {friend} the {kind}. ");
PARTS(dark_help, "Then a light came near. It was the old {helper} with a lamp. \"Your monster is only a bush,\" said the {helper}. ",
      "\"Do not be afraid,\" said the old {helper}. \"The night is only the day with closed eyes.\" ");
PARTS(dark_turn, "{hero} looked again and saw only the {colour} {thing} in the moonlight. {friend} the {kind} laughed, and so did {hero}. ",
      "Step by step {hero} and {friend} the {kind} walked home through the dark, with the {colour} {thing} in front. ");
PARTS(dark_lesson, "{hero} learned that the dark is not so bad. ", "\"I am not afraid of the dark any more,\" said {hero}. ");

PARTS(lie_trouble,
      "At the {place} {hero} broke a window with the {colour} {thing}. \"{friend} the {kind} did it,\" {he} said, but that was not true. ",
      "At the {place} {hero} ate all of the {food}. \"It was {friend} the {kind},\" {he} said. That was a lie. ");
PARTS(lie_help, "{hero} felt heavy inside. \"The truth makes you light again,\" said the old {helper}. ",
      "The old {helper} had seen it all. \"Who tells one lie must soon tell two,\" said the {helper}. ");
PARTS(lie_turn, "So {hero} told the truth. \"I did it,\" {he} said. {friend} the {kind} forgave {him} and gave {him} a hug. ",
      "\"It was not {friend}, it was me,\" said {hero}, and {he} gave the {colour} {thing} to {friend} the {kind}. ");
PARTS(lie_lesson, "{hero} learned to tell the truth. ", "\"I will never lie again,\" said {hero}. ");

PARTS(storm_trouble, "At the {place} a storm began. The wind took the {colour} {thing}, and rain fell on {hero} and {friend} the {kind}. ",
      "Black clouds came over the {place}. There was thunder, and {friend} the {kind} hid behind {hero}. ");
PARTS(storm_help, "\"Come in, it is dry here,\" called the old {helper}. The {helper} gave them {food}. ",
      "The old {helper} opened a door. \"Every storm ends,\" said the {helper}, \"and there is {food} for you.\" ");
PARTS(storm_turn, "When the sun came out, the {colour} {thing} lay in a puddle, and {friend} the {kind} ran to get it. ",
      "They waited and ate {food}, and then a rainbow stood over the {place}. {hero} waved the {colour} {thing}. ");
PARTS(storm_lesson, "{hero} learned that every storm ends. ", "\"Together we can wait for the sun,\" said {hero}. ");

PARTS(proud_trouble,
      "\"I am much faster than you!\" {hero} said to {friend} the {kind} and ran ahead. Near the {place} {he} fell into a pit. ",
      "\"I need no {kind} to help me,\" said {hero}. {He} went to the {place} alone and was soon stuck in the mud. ");
PARTS(proud_help, "\"Pride makes you lonely,\" said the old {helper}. \"Call your friend.\" ",
      "The old {helper} was too weak to pull {him} out. \"Who could help you?\" asked the {helper}. ");
PARTS(proud_turn, "\"Help me, {friend}!\" called {hero}. And {friend} the {kind} came and pulled {him} out. ",
      "Then {friend} the {kind} came along and helped {him} out, and the {colour} {thing}, too. \"Thank you,\" said {hero}. ");
PARTS(proud_lesson, "{hero} learned that nobody is too big to ask for help. ", "\"I will never boast again,\" said {hero}. ");

PARTS(promise_trouble, "But {hero} had promised to bring {food} to {his} {family}, and {he} had forgotten it! ",
      "Suddenly {hero} stood still. \"I promised my {family} to come home for {food},\" {he} said, \"and I forgot!\" ");
PARTS(promise_help, "\"It is not too late,\" said the old {helper}. \"A promise is a promise.\" ",
      "\"Run, and I will carry the {colour} {thing},\" said the old {helper}. ");
PARTS(promise_turn, "{hero} and {friend} the {kind} ran all the way from the {place}. \"You kept your promise,\" said {his} {family}. ",
      "They ran as fast as they could. {His} {family} stood at the gate and smiled. \"I knew you would come, {hero}.\" ");
PARTS(promise_lesson, "{hero} learned to keep {his} promises. ", "\"I gave my word,\" said {hero}, \"and I kept it.\" ");

PARTS(hurry_trouble, "{hero} wanted to build a bridge of sticks. {He} worked so fast that it fell down again and again. ",
      "{hero} tried to tie a knot around the {colour} {thing}, but {he} was in a hurry, and every knot came loose. ");
PARTS(hurry_help, "\"How does a snail climb a wall?\" asked the old {helper}. \"Slowly,\" said {hero}. ",
      "\"One small step, and then one more,\" said the old {helper}. ");
PARTS(hurry_turn, "So {hero} began again, slowly this time. In the evening it was done, and {friend} the {kind} clapped. ",
      "{hero} took {his} time, and now it went well! {friend} the {kind} waved the {colour} {thing} for joy. ");
PARTS(hurry_lesson, "{hero} learned to be patient. ", "\"Slow is sometimes fast,\" said {hero}. ");

PARTS(quarrel_trouble, "At the {place} they began to quarrel. \"We go left!\" said {hero}. \"We go right!\" said {friend} the {kind}. ",
      "\"You hold the {thing} the wrong way,\" said {friend} the {kind}. \"You know nothing about it!\" said {hero}. They began to "
      "quarrel. ");
PARTS(quarrel_help, "\"Which of you is right?\" asked the old {helper}. \"Me!\" cried {hero}. \"Me!\" cried {friend}. ",
      "The old {helper} gave them {food}, but only one spoon. They had to laugh. ");
PARTS(quarrel_turn, "\"I am sorry,\" said {hero}. \"I am sorry, too,\" said {friend} the {kind}, and they shook hands. ",
      "First {hero} smiled, and then {friend} the {kind} smiled and gave {him} the {colour} {thing}. ");
PARTS(quarrel_lesson, "{hero} learned that it is better to be friends than to be right. ",
      "\"Next time we will talk before we shout,\" said {hero}. ");

#define PLOT(name) \
  Plot { name##_trouble, name##_help, name##_turn, name##_lesson }
constexpr Plot plots[] = {PLOT(lost),  PLOT(broken), PLOT(share),   PLOT(dark),  PLOT(lie),
                          PLOT(storm), PLOT(proud),  PLOT(promise), PLOT(hurry), PLOT(quarrel)};

}  // namespace

const std::span<const Plot> kPlots = plots;

}  // namespace cpuflow::rt::corpus
