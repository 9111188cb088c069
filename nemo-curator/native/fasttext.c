/* Training of a fastText classifier (Joulin et al. 2016): the mean of vectors, a linear layer, softmax.

   Sums go in order and nothing is contracted, so that a model has the same bytes wherever expf has. */
#include <math.h>

#include "texts.h"

/* Lines as rows of the input matrix, end to end, and the number of each line's label. */
typedef struct {
    const int32_t *rows;
    const int64_t *offsets, *labels;
} Lines;

/* Both matrices, [anything, width] and [labels, width], and room for one line. */
typedef struct {
    float *inputs, *outputs;
    int64_t labels, width;
    float *hidden, *gradient, *predicted;
} Model;

/* The mean of the vectors of a line. */
static void mean_of(const int32_t *rows, int64_t count, Model *model) {
    memset(model->hidden, 0, (size_t)model->width * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        const float *vector = model->inputs + rows[i] * model->width;
        for (int64_t d = 0; d < model->width; d++) model->hidden[d] += vector[d];
    }
    float divisor = (float)most(count, 1);
    for (int64_t d = 0; d < model->width; d++) model->hidden[d] /= divisor;
}

/* Softmax of the linear layer. */
static void predict(Model *model) {
    float highest = -INFINITY, sum = 0;
    for (int64_t label = 0; label < model->labels; label++) {
        const float *vector = model->outputs + label * model->width;
        float total = 0;
        for (int64_t d = 0; d < model->width; d++) total += vector[d] * model->hidden[d];
        model->predicted[label] = total;
        if (total > highest) highest = total;
    }
    for (int64_t label = 0; label < model->labels; label++) {
        model->predicted[label] = expf(model->predicted[label] - highest);
        sum += model->predicted[label];
    }
    for (int64_t label = 0; label < model->labels; label++) model->predicted[label] /= sum;
}

/* Move the output vectors towards the label of a line, and collect what its input vectors have to move by. */
static void pull_outputs(Model *model, int64_t own, float rate) {
    memset(model->gradient, 0, (size_t)model->width * sizeof(float));
    for (int64_t label = 0; label < model->labels; label++) {
        float *vector = model->outputs + label * model->width;
        float pull = rate * ((float)(label == own) - model->predicted[label]);
        for (int64_t d = 0; d < model->width; d++) {
            model->gradient[d] += pull * vector[d];
            vector[d] += pull * model->hidden[d];
        }
    }
}

static void step_line(const Lines *lines, int64_t line, float rate, Model *model) {
    const int32_t *rows = lines->rows + lines->offsets[line];
    int64_t count = lines->offsets[line + 1] - lines->offsets[line];
    mean_of(rows, count, model);
    predict(model);
    pull_outputs(model, lines->labels[line], rate);
    float divisor = (float)most(count, 1);
    for (int64_t d = 0; d < model->width; d++) model->gradient[d] /= divisor;
    for (int64_t i = 0; i < count; i++) {
        float *vector = model->inputs + rows[i] * model->width;
        for (int64_t d = 0; d < model->width; d++) vector[d] += model->gradient[d];
    }
}

static bool model_make(Model *model) {
    model->hidden = room_for(model->width, sizeof(float));
    model->gradient = room_for(model->width, sizeof(float));
    model->predicted = room_for(model->labels, sizeof(float));
    return model->hidden && model->gradient && model->predicted;
}

static void model_free(Model *model) {
    free(model->hidden);
    free(model->gradient);
    free(model->predicted);
}

/* One pass of stochastic gradient descent over the lines in the given order, in place. */
EXPORT int64_t descend(const int32_t *rows, const int64_t *offsets, const int64_t *labels, const int64_t *order,
                       const float *rates, int64_t steps, float *inputs, float *outputs, int64_t num_labels,
                       int64_t width) {
    Lines lines = {rows, offsets, labels};
    Model model = {.inputs = inputs, .outputs = outputs, .labels = num_labels, .width = width};
    bool made = model_make(&model);
    for (int64_t step = 0; made && step < steps; step++) step_line(&lines, order[step], rates[step], &model);
    model_free(&model);
    return made ? DONE : NO_MEMORY;
}

/* The probability of every label, out [lines, labels]. */
EXPORT int64_t probabilities(const int32_t *rows, const int64_t *offsets, int64_t lines, const float *inputs,
                             const float *outputs, int64_t num_labels, int64_t width, float *out) {
    Model model = {.inputs = (float *)inputs, .outputs = (float *)outputs, .labels = num_labels, .width = width};
    bool made = model_make(&model);
    for (int64_t line = 0; made && line < lines; line++) {
        mean_of(rows + offsets[line], offsets[line + 1] - offsets[line], &model);
        predict(&model);
        memcpy(out + line * num_labels, model.predicted, (size_t)num_labels * sizeof(float));
    }
    model_free(&model);
    return made ? DONE : NO_MEMORY;
}
